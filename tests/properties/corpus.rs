//! What the fuzzer found to reach most code (`tests/fuzz/run.sh`), given to its targets again.

use std::io::{Cursor, Read};

use zip::ZipArchive;

#[path = "../fuzz/targets/mod.rs"]
mod targets;

#[test]
fn the_fuzzer_s_corpus_is_read_without_a_panic() {
    let mut refused = 0;
    for (name, target) in targets::TARGETS {
        let path = format!("{}/tests/fuzz/corpus/{name}.zip", env!("CARGO_MANIFEST_DIR"));
        let archive = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
        let (count, mut taken) = (archive.len(), 0);
        for index in 0..count {
            let mut bytes = Vec::new();
            archive.by_index(index).unwrap().read_to_end(&mut bytes).unwrap();
            taken += usize::from(target(&bytes));
        }
        // A corpus that is all refused does not get far.
        assert!(taken > 0, "{name}: none of {count} is taken");
        refused += count - taken;
    }
    assert!(refused > 100, "only {refused} files are refused");
}
