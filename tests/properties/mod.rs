//! What holds for any input: arithmetic, and readers of files that somebody else wrote.
//!
//! Each property is tried on a few hundred drawn inputs; `PROPTEST_CASES` asks for more. An input that fails is made as small as it
//! goes, and printed with what draws it again.

mod arithmetic;
#[cfg(feature = "sentences")]
mod corpus;
mod hostile;
mod made;
mod parts;
