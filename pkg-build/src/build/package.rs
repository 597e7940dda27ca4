//! Assembles the published package and packs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build::sbom;
use crate::project;

/// Packs what was built last, and says where the tarball lies.
pub fn pack() -> Result<PathBuf> {
    let root = project::root()?;
    let (dist, published) = (root.join("www/dist"), root.join("pkg-build/npm"));
    for (folder, source) in [("model", project::BUILT_IN_MODEL), ("detector", project::DETECTOR)] {
        ensure!(
            dist.join("src").join(folder).join("model.json").is_file(),
            "the package ships {source}, which is missing from what was built: make it, then build"
        );
    }
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(published.join("package.json"))?)?;
    ensure!(
        manifest["version"] == env!("CARGO_PKG_VERSION"),
        "pkg-build/npm/package.json says version {}, Cargo.toml {}: make them equal",
        manifest["version"],
        env!("CARGO_PKG_VERSION"),
    );

    let folder = dist.join("npm");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("the last package can't be removed")?;
    }
    project::copy_folder(&published, &folder, &|_| true)?;
    for name in ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(root.join(name), folder.join(name)).with_context(|| format!("{name} can't be copied"))?;
    }
    fs::copy(dist.join(sbom::FILE), folder.join(sbom::FILE))
        .context("the bill of materials is missing: build first")?;
    project::copy_folder(&dist.join("src"), &folder.join("dist"), &is_published)?;
    project::run(Command::new("npm").args(["pack", "--silent", "--pack-destination", ".."]).current_dir(&folder))?;
    Ok(dist.join(format!("cliper-{}.tgz", env!("CARGO_PKG_VERSION"))))
}

/// Of the scripts those that are made of modules (`www/demo/assemble.mjs`); all else, types above all.
fn is_published(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    !name.ends_with(".js") || ["index.js", "worker.js"].contains(&name.as_ref()) || name.starts_with("cliper-")
}
