//! What hostile bytes are given to, a function each: by the fuzzer, and by every test run from the corpus beside this.

mod bundles;
mod input;
pub mod sessions;
mod texts;

/// Gives bytes to a reader, and says whether it took them. Panics where a promise is broken.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name, which is its corpus's.
pub const TARGETS: [(&str, Target); 13] = [
    ("manifest", bundles::manifest),
    ("weights", bundles::weights),
    ("bundle", bundles::bundle),
    ("detector", bundles::detector),
    // Readers of one function: what guides the fuzzer differs with the format.
    ("safetensors", bundles::checkpoint),
    ("zip", bundles::checkpoint),
    ("pickle", bundles::checkpoint),
    ("configuration", bundles::configuration),
    ("descriptors", texts::descriptors),
    ("tokenizer", texts::tokenizer),
    ("text-side", texts::text_side),
    ("pixels", sessions::pixels),
    ("session", sessions::session),
];
