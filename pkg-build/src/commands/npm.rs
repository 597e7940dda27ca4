//! `cargo pkg npm`: builds, then packs the npm package.

use std::fs;

use anyhow::Result;

use crate::build;
use crate::build::package::pack;

pub fn run() -> Result<()> {
    build::run()?;
    let tarball = pack()?;
    let megabytes = fs::metadata(&tarball)?.len() as f64 / 1e6;
    println!("{} ({megabytes:.2} MB): publish it with `npm publish {0}`", tarball.display());
    Ok(())
}
