//! `cargo pkg inspect`: what a bundle says of itself.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::bundles::read_bundle;
use crate::files::read;
use crate::project;

#[derive(Args)]
pub struct Options {
    /// Folder of a bundle; the built-in one by default
    bundle: Option<PathBuf>,
    /// Print model.json
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let folder = project::bundle_folder(options.bundle.as_ref())?;
    // Read whole first: what can't be loaded should not look sound.
    let manifest = read_bundle(&folder)?.manifest;
    if options.json {
        print!("{}", manifest.to_json());
        return Ok(());
    }
    if let Some(card) = manifest.card() {
        print!("{}", String::from_utf8_lossy(&read(&folder.join(card))?));
    }
    println!("\n## Files\n");
    for file in &manifest.files {
        println!("- {} ({} bytes, sha256 {})", file.path, file.bytes, file.sha256);
    }
    println!("\n## Descriptors\n");
    let mut learned = manifest.learned.iter().flat_map(|learned| &learned.nearest);
    for expression in &manifest.expressions {
        println!("{}:", expression.name);
        for text in &expression.descriptors {
            println!("- {text}");
            for token in learned.next().into_iter().flatten() {
                let words = token.iter().map(|word| format!("{} {:.3}", word.text, word.distance));
                println!("    {}", words.collect::<Vec<_>>().join(", "));
            }
        }
    }
    if let Some(learned) = &manifest.learned {
        println!(
            "\nLearned in \"{}\"; under each text, the nearest words of each token with their distances.",
            learned.prompt
        );
    }
    Ok(())
}
