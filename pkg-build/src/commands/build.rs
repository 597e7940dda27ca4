//! `cargo pkg build`: everything the page and the package are made of, in `www/dist`.

use anyhow::Result;

use crate::build;

#[derive(clap::Args)]
pub struct Options {
    /// Only this wasm file: webgpu, cpu, cpu-relaxed, cpu-threads or text
    #[arg(long, value_name = "NAME")]
    wasm: Option<String>,
}

pub fn run(options: &Options) -> Result<()> {
    match &options.wasm {
        None => build::run(),
        Some(name) => {
            build::install()?;
            build::wasm::build(Some(name))
        }
    }
}
