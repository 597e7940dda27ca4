//! `cargo pkg`: the commands that build, test, show and publish cliper.
//!
//! Arrows run one way: `project, files <- media <- build <- data <- bundles <- evaluation <- packaging <- training <- commands`.

mod build;
mod bundles;
mod commands;
mod data;
mod evaluation;
mod files;
mod media;
mod packaging;
mod project;
mod training;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::{
    ablate, bench, classify, compare, demo, describe, embed, evaluate, face, head, import, inspect, linear_probe, npm,
    pack, shapes, test, train,
};

#[derive(Parser)]
#[command(name = "cargo pkg", bin_name = "cargo pkg", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Pkg,
}

#[derive(Subcommand)]
enum Pkg {
    /// Recognise the apparent expression in pictures
    Classify(classify::Options),
    /// Measure a bundle on labelled pictures
    Evaluate(evaluate::Options),
    /// Compare the expression nets that pages use today with ours, on the same pictures
    Compare(compare::Options),
    /// Say what the faces of a data set do, by MediaPipe's landmarker: what explanations are measured by
    Shapes(shapes::Options),
    /// Show a bundle's card, files and descriptors
    Inspect(inspect::Options),
    /// Turn a CLIP checkpoint into a backbone: the image encoder in shards and the text tower, in f16
    Import(import::Options),
    /// Print the embeddings of pictures and texts, to compare with a reference
    Embed(embed::Options),
    /// Turn a finished run, or an imported backbone, into a bundle; store a bundle in another precision
    Pack(pack::Options),
    /// Give a bundle a temporal head: a trained one, or DFER-CLIP's
    Head(head::Options),
    /// Turn descriptor texts into embeddings
    Describe(describe::Options),
    /// Turn MediaPipe's face detector into the form that the library reads
    Face(face::Options),
    /// Train descriptors (METD) or the image encoder on FER+ votes; goes on where it stopped
    Train(Box<train::Options>),
    /// Compare what parts of the training are worth, over seeds
    Ablate(ablate::Options),
    /// Learn a linear head on a bundle's frozen encoder from another set's labels, and measure it
    LinearProbe(linear_probe::Options),
    /// Build the wasm files, the TypeScript library and the page into www/dist
    Build(commands::build::Options),
    /// Build, then serve the page on this machine
    Demo(demo::Options),
    /// Install what the tests need and run all of them
    Test(test::Options),
    /// Measure the built-in model natively and in Chromium, or (--engines) other engines beside ours
    Bench(bench::Options),
    /// Build, then pack the npm package
    Npm,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // The landmarker is written to through a pipe, and its end must be told.
    if !matches!(command, Pkg::Shapes(_)) {
        end_with_the_reader();
    }
    let done = match command {
        Pkg::Classify(options) => classify::run(&options),
        Pkg::Evaluate(options) => evaluate::run(&options),
        Pkg::Compare(options) => compare::run(&options),
        Pkg::Shapes(options) => shapes::run(&options),
        Pkg::Inspect(options) => inspect::run(&options),
        Pkg::Import(options) => import::run(&options),
        Pkg::Embed(options) => embed::run(&options),
        Pkg::Pack(options) => pack::run(&options),
        Pkg::Head(options) => head::run(&options),
        Pkg::Describe(options) => describe::run(&options),
        Pkg::Face(options) => face::run(&options),
        Pkg::Train(options) => train::run(&options),
        Pkg::Ablate(options) => ablate::run(&options),
        Pkg::LinearProbe(options) => linear_probe::run(&options),
        Pkg::Build(options) => commands::build::run(&options),
        Pkg::Demo(options) => demo::run(&options),
        Pkg::Test(options) => test::run(&options),
        Pkg::Bench(options) => bench::run(&options),
        Pkg::Npm => npm::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A sentence that names the fix, whatever RUST_BACKTRACE says.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `| head` ends a program that goes on printing, as it does others: Rust would panic in the middle of a sentence.
fn end_with_the_reader() {
    #[cfg(unix)]
    // SAFETY: the default action is a valid one, and no other thread runs yet.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
