//! `cargo pkg`: the commands that build, test, show and publish cliper.

mod build;
mod demo;
mod npm;
mod project;
mod test;
mod toolchain;
mod wasm;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo pkg", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Pkg,
}

#[derive(Subcommand)]
enum Pkg {
    /// Build the wasm files, the TypeScript library and the page into www/dist
    Build,
    /// Build, then serve the page on this machine
    Demo(demo::Options),
    /// Install what the tests need and run all of them
    Test(test::Options),
    /// Build, then pack the npm package
    Npm,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Pkg::Build => build::run(),
        Pkg::Demo(options) => demo::run(&options),
        Pkg::Test(options) => test::run(&options),
        Pkg::Npm => npm::run(),
    }
}
