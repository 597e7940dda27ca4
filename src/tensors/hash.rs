//! The hash that files are told apart by.

use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    // In pieces: a browser runs a call to its end in the code that it began in, and the first code is ten times as slow.
    bytes.chunks(1 << 12).for_each(|chunk| hash.update(chunk));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
