//! The bill of materials in CycloneDX: every crate that is linked into a wasm file of the package, with its licence and hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::build::toolchain::{TARGET, Toolchain};
use crate::build::wasm;
use crate::project;

/// Its name in the package, which CycloneDX recommends.
pub const FILE: &str = "sbom.cdx.json";

/// A crate and what is known of it.
#[derive(Debug, Default, PartialEq)]
struct Linked {
    licence: String,
    repository: String,
    /// The wasm files that have it.
    files: BTreeSet<&'static str>,
    /// Crates that it takes from.
    needs: BTreeSet<Id>,
}

/// Name and version.
type Id = (String, String);

/// Writes the bill for the wasm files; the same for the same lock file and compiler, always.
pub fn write(path: &Path) -> Result<()> {
    let compiler =
        project::output(Toolchain::find()?.rustc().arg("--version")).context("the compiler has no version")?;
    let lock = fs::read_to_string(project::root()?.join("Cargo.lock"))?;
    let bill = bill(&linked()?, &hashes(&lock), &compiler)?;
    fs::write(path, serde_json::to_string_pretty(&bill)? + "\n")
        .with_context(|| format!("{} can't be written", path.display()))
}

/// The crates that cargo links for each file; what runs in the compiler alone is none of them.
fn linked() -> Result<BTreeMap<Id, Linked>> {
    let mut linked: BTreeMap<Id, Linked> = BTreeMap::new();
    for (file, features) in wasm::files() {
        let mut tree = project::native_cargo()?;
        tree.args(["tree", "--locked", "--package", "cliper", "--no-default-features", "--features", features])
            .args(["--target", TARGET, "--edges", "normal,no-proc-macro", "--prefix", "depth"])
            .args(["--format", "\t{p}\t{l}\t{r}\t"]);
        let shown = project::show(&tree);
        let lines = project::output(&mut tree).with_context(|| format!("`{shown}` failed; run it to see why"))?;
        // The way from the root to the crate of the last line.
        let mut way: Vec<Id> = Vec::new();
        for line in lines.lines() {
            let [depth, package, licence, repository, _] = line.split('\t').collect::<Vec<_>>()[..] else {
                anyhow::bail!("`{shown}` printed `{line}`, which is no crate");
            };
            let mut words = package.split(' ');
            let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v')))
            else {
                anyhow::bail!("`{package}` has no name and version");
            };
            let id: Id = (name.into(), version.into());
            way.truncate(depth.parse().with_context(|| format!("`{line}` has no depth"))?);
            if let Some(user) = way.last().and_then(|user| linked.get_mut(user)) {
                user.needs.insert(id.clone());
            }
            let known = linked.entry(id.clone()).or_default();
            (known.licence, known.repository) = (licence.replace('/', " OR "), repository.into());
            known.files.insert(file);
            way.push(id);
        }
    }
    Ok(linked)
}

/// The SHA-256 of each crate that the lock file pins.
fn hashes(lock: &str) -> BTreeMap<Id, &str> {
    fn field<'a>(package: &'a str, name: &str) -> Option<&'a str> {
        let rest = package.split_once(&format!("\n{name} = \""))?.1;
        Some(rest.split_once('"')?.0)
    }
    let mut pinned = BTreeMap::new();
    for package in lock.split("[[package]]") {
        if let (Some(name), Some(version), Some(hash)) =
            (field(package, "name"), field(package, "version"), field(package, "checksum"))
        {
            pinned.insert((name.into(), version.into()), hash);
        }
    }
    pinned
}

fn reference((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn bill(linked: &BTreeMap<Id, Linked>, hashes: &BTreeMap<Id, &str>, compiler: &str) -> Result<Value> {
    let own: Id = ("cliper".into(), env!("CARGO_PKG_VERSION").into());
    let version = compiler.split(' ').nth(1).with_context(|| format!("`{compiler}` says no version"))?;
    let std = format!("pkg:generic/rust-std@{version}");
    let mut components = Vec::new();
    for (id, crate_) in linked.iter().filter(|(id, _)| **id != own) {
        let (name, version) = id;
        let hash = hashes.get(id).with_context(|| format!("{name} {version} has no hash in Cargo.lock"))?;
        ensure!(!crate_.licence.is_empty(), "{name} {version} says no licence");
        let mut component = json!({
            "type": "library", "bom-ref": reference(id), "name": name, "version": version, "scope": "required",
            "hashes": [{ "alg": "SHA-256", "content": hash }],
            "licenses": [{ "expression": crate_.licence }],
            "purl": reference(id),
            "properties": crate_.files.iter().map(|file| json!({ "name": "cliper:wasm", "value": file })).collect::<Vec<_>>(),
        });
        if !crate_.repository.is_empty() {
            component["externalReferences"] = json!([{ "type": "vcs", "url": crate_.repository }]);
        }
        components.push(component);
    }
    components.push(json!({
        "type": "library", "bom-ref": std, "name": "rust-std", "version": version, "scope": "required",
        "description": format!("Rust's standard library with the crates that it is made of, of {compiler}"),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    }));
    let dependencies: Vec<Value> = linked
        .iter()
        .map(|(id, crate_)| {
            let needs = crate_.needs.iter().map(reference).chain((*id == own).then(|| std.clone()));
            json!({ "ref": reference(id), "dependsOn": needs.collect::<Vec<_>>() })
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{ "phase": "build" }],
            "component": {
                "type": "library", "bom-ref": reference(&own), "name": own.0, "version": own.1,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                "purl": format!("pkg:npm/{}@{}", own.0, own.1),
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_has_what_is_linked_and_nothing_else() {
        let lock = fs::read_to_string(project::root().unwrap().join("Cargo.lock")).unwrap();
        let (linked, hashes) = (linked().unwrap(), hashes(&lock));
        let bill = bill(&linked, &hashes, "rustc 1.2.3 (none)").unwrap();
        let components = bill["components"].as_array().unwrap();
        let find = |name: &str| -> Vec<&Value> { components.iter().filter(|it| it["name"] == name).collect() };
        let files = |name: &str| -> BTreeSet<&str> {
            find(name)
                .iter()
                .flat_map(|it| it["properties"].as_array().unwrap())
                .map(|it| it["value"].as_str().unwrap())
                .collect()
        };
        // What only some files have, and what all of them do.
        assert_eq!(files("burn"), ["webgpu"].into());
        assert_eq!(files("wgpu"), ["webgpu"].into());
        assert_eq!(files("tokenizers"), ["text"].into());
        assert_eq!(files("safetensors"), ["cpu", "cpu-relaxed", "cpu-threads", "text", "webgpu"].into());
        // Those of the commands, of tests, of other machines and of the compiler are in none.
        for other in
            ["clap", "axum", "zip", "onig", "proptest", "image", "syn", "serde_derive", "wasm-bindgen-macro", "cc"]
        {
            assert!(find(other).is_empty(), "{other}");
        }
        for component in components.iter().filter(|it| it["name"] != "rust-std") {
            let id =
                (component["name"].as_str().unwrap().to_string(), component["version"].as_str().unwrap().to_string());
            assert_eq!(component["hashes"][0]["content"], hashes[&id], "{id:?}");
            assert_eq!(hashes[&id].len(), 64, "{id:?}");
            assert!(!component["licenses"][0]["expression"].as_str().unwrap().contains('/'), "{id:?}");
        }
        assert_eq!(components.len(), linked.len());
        // Everything that a crate takes from has a place of its own, and all but the package itself is taken from.
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let own = &bill["metadata"]["component"];
        let known: BTreeSet<String> = components.iter().chain([own]).map(|it| text(&it["bom-ref"])).collect();
        let dependencies = bill["dependencies"].as_array().unwrap();
        let needed: BTreeSet<String> =
            dependencies.iter().flat_map(|it| it["dependsOn"].as_array().unwrap()).map(text).collect();
        assert!(needed.is_subset(&known));
        assert_eq!(known.difference(&needed).count(), 1);
    }

    #[test]
    fn a_crate_without_a_hash_or_a_licence_is_refused() {
        let one = |licence: &str| {
            BTreeMap::from([(("a".into(), "1".into()), Linked { licence: licence.into(), ..Default::default() })])
        };
        let pinned = hashes("[[package]]\nname = \"a\"\nversion = \"1\"\nchecksum = \"12\"\n");
        assert_eq!(pinned.len(), 1);
        assert!(bill(&one("MIT"), &pinned, "rustc 1.2.3").is_ok());
        assert!(bill(&one(""), &pinned, "rustc 1.2.3").is_err());
        assert!(bill(&one("MIT"), &BTreeMap::new(), "rustc 1.2.3").is_err());
    }
}
