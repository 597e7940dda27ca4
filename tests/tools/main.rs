//! `cargo pkg` as a program, run as a user runs it: one test program for all its commands.

mod command_line;
mod data_sets;
mod explanations;
mod import;
mod inputs;
mod metd;
mod support;
