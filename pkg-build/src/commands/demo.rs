//! `cargo pkg demo`: serves `www/dist` to a browser on this machine.

use std::thread;

use anyhow::{Result, bail};

use crate::build::serve::serve;
use crate::{build, project};

#[derive(clap::Args)]
pub struct Options {
    /// The port to serve on; where it is taken, the next free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Serve what was built last
    #[arg(long)]
    no_build: bool,
}

pub fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        build::run()?;
    }
    let site = project::root()?.join("www/dist");
    if !site.join("demo/index.html").is_file() {
        bail!("the page is not built: run `cargo pkg demo` without --no-build");
    }
    let address = serve(site, options.port)?;
    if address.port() != options.port {
        println!("Port {} is taken, so the page is on {}.", options.port, address.port());
    }
    println!("http://{address}/demo/  (Ctrl-C ends)");
    loop {
        thread::park();
    }
}
