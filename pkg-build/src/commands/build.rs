//! `cargo pkg build`: everything the page and the package are made of, in `www/dist`.

pub use crate::build::run;
