//! Everything the page and the package are made of, in `www/dist`.

pub mod package;
pub mod sbom;
pub mod serve;
pub mod toolchain;
pub mod wasm;
pub mod wheel;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::project;

/// What of the page is served as it is; TypeScript is compiled instead.
const STATIC_FILES: [&str; 10] = ["html", "css", "jpg", "png", "svg", "ico", "webp", "webm", "webmanifest", "json"];

pub fn run() -> Result<()> {
    install()?;
    wasm::build(None)?;
    typescript()?;
    pages()?;
    models()?;
    sbom::write(&project::root()?.join("www/dist").join(sbom::FILE))?;
    assemble()
}

/// Installs what www's lock file names, where it is missing or older than the lock.
pub fn install() -> Result<()> {
    install_in(&project::root()?.join("www"))
}

/// The same in another folder with a package.json and its lock.
pub fn install_in(folder: &Path) -> Result<()> {
    project::check_node()?;
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let lock = changed(&folder.join("package-lock.json"))
        .with_context(|| format!("{0}/package-lock.json is missing: run `npm install` in {0}", folder.display()))?;
    // npm writes this file last, so an installation cut off half-way does not count.
    if changed(&folder.join("node_modules/.package-lock.json")) < Some(lock) {
        project::run(Command::new("npm").arg("ci").current_dir(folder))?;
    }
    Ok(())
}

/// `www/src` and `www/demo` into `www/dist/src` and `www/dist/demo`.
pub fn typescript() -> Result<()> {
    let root = project::root()?;
    let compiler = root.join("www/node_modules/.bin/tsc");
    project::run(Command::new(compiler).args(["-p", "www"]).current_dir(root))
}

/// Format and lint of TypeScript, JavaScript and CSS: biome.json says of which.
pub fn biome() -> Result<()> {
    let root = project::root()?;
    let biome = root.join("www/node_modules/.bin/biome");
    project::run(Command::new(biome).args(["check", "--error-on-warnings"]).current_dir(root))
}

fn pages() -> Result<()> {
    let www = project::root()?.join("www");
    project::copy_folder(&www.join("demo"), &www.join("dist/demo"), &|path| {
        let name = path.file_name().unwrap_or_default();
        let extension = path.extension().and_then(|extension| extension.to_str());
        name != "tsconfig.json" && extension.is_some_and(|extension| STATIC_FILES.contains(&extension))
    })?;
    fs::create_dir_all(www.join("dist/bench"))?;
    for page in ["index.html", "start.html"] {
        fs::copy(www.join("bench").join(page), www.join("dist/bench").join(page))?;
    }
    Ok(())
}

/// The page's library, and its service worker with the list of all that was built before.
fn assemble() -> Result<()> {
    let root = project::root()?;
    project::run(Command::new("node").arg("www/demo/assemble.mjs").current_dir(root))
}

/// The built-in model and the face detector, beside the library that loads them.
fn models() -> Result<()> {
    let root = project::root()?;
    for (from, to) in [(project::BUILT_IN_MODEL, "model"), (project::DETECTOR, "detector")] {
        let (folder, to) = (root.join(from), root.join("www/dist/src").join(to));
        if !folder.join("model.json").is_file() {
            println!("There is no {from} yet: the page needs one given to it.");
            continue;
        }
        if to.exists() {
            // A file the new one no longer has must not stay.
            fs::remove_dir_all(&to)?;
        }
        project::copy_folder(&folder, &to, &|_| true)?;
    }
    Ok(())
}
