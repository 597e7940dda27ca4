//! Builds the wasm files, small and within their budgets.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::build::toolchain::{TARGET, Toolchain};
use crate::project;

/// One wasm file: WebGPU's is code that is loaded once, so bytes count; the CPU's is the arithmetic
/// itself, so speed counts. The profiles in Cargo.toml say the same to the compiler.
struct Variant {
    name: &'static str,
    profile: &'static str,
    features: &'static str,
    /// For the compiler, of our own crate alone: what the files share is compiled once.
    flags: &'static [&'static str],
    optimise: &'static str,
    /// Most bytes in brotli, which is how a file travels.
    budget: usize,
}

const VARIANTS: [Variant; 5] = [
    Variant {
        name: "webgpu",
        profile: "wasm-webgpu",
        features: "webgpu",
        flags: &[],
        optimise: "-Oz",
        budget: 450_000,
    },
    Variant { name: "cpu", profile: "wasm-cpu", features: "", flags: &IN_ORDER, optimise: "-O3", budget: 500_000 },
    Variant {
        name: "cpu-relaxed",
        profile: "wasm-cpu",
        features: "",
        flags: &[IN_ORDER[0], IN_ORDER[1], "-C", "target-feature=+relaxed-simd"],
        optimise: "-O3",
        budget: 500_000,
    },
    Variant {
        name: "cpu-threads",
        profile: "wasm-cpu",
        features: "threads",
        flags: &SHARED,
        optimise: "-O3",
        budget: 500_000,
    },
    // Sentences in anybody's words, fetched when somebody brings some: its tokenizer would be half of the others.
    Variant {
        name: "text",
        profile: "wasm-webgpu",
        features: "sentences",
        flags: &[],
        optimise: "-Oz",
        budget: 600_000,
    },
];

/// Left to itself, the compiler's scheduler takes the products of a tile out of the order in which they are written,
/// and keeps more values at once than there are registers: 16 instead of 57 GFLOP/s.
const IN_ORDER: [&str; 2] = ["-C", "llvm-args=-pre-RA-sched=source"];

/// Relaxed SIMD on memory that workers share. The standard library of a stable compiler is made without atomics, which
/// the linker refuses unless told; `src/engine/cpu/thread_pool/wasm.rs` says why that is right here.
const SHARED: [&str; 20] = [
    IN_ORDER[0],
    IN_ORDER[1],
    "-C",
    "target-feature=+relaxed-simd,+atomics,+bulk-memory",
    "-C",
    "link-arg=--shared-memory",
    "-C",
    "link-arg=--no-check-features",
    "-C",
    "link-arg=--import-memory",
    "-C",
    // Addresses that are set aside, not memory that is used: 2 GiB hold a ViT-L in f32.
    "link-arg=--max-memory=2147483648",
    "-C",
    "link-arg=--export=__wasm_init_tls",
    "-C",
    "link-arg=--export=__tls_size",
    "-C",
    "link-arg=--export=__tls_align",
    "-C",
    "link-arg=--export=__tls_base",
];

/// All files are compiled with the same flags, so that what they share is compiled alike. The folder that cargo keeps
/// sources in, which is another one for everybody, would else stand in the file, in what a panic says.
fn flags() -> Result<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let registries = home.context("cargo has no home")?.join("registry/src");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&registries).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    flags.extend(folders.iter().map(|folder| format!("--remap-path-prefix={}=crates", folder.display())));
    // As cargo separates flags, which may hold blanks.
    Ok(flags.join("\x1f"))
}

/// What the compiler may emit and wasm-opt therefore must accept.
const WASM_FEATURES: [&str; 9] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-relaxed-simd",
    "--enable-sign-ext",
    "--enable-simd",
    "--enable-threads",
];

/// What the compiler left a function stays one, even with a single caller: a browser takes up its optimised code at a call, so
/// work in one long function would end in the code that it began in.
const APART: [&str; 2] = ["--one-caller-inline-max-function-size", "20"];

/// Bytes of one file, and what it was made from, so that the same is not made again.
#[derive(Serialize, Deserialize)]
struct Size {
    raw: usize,
    gzip: usize,
    brotli: usize,
    budget: usize,
    source: String,
}

/// The files' names, and the features that each is compiled with.
pub fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    VARIANTS.iter().map(|variant| (variant.name, variant.features))
}

/// Compiles, binds and shrinks the files into `www/dist/src/wasm`, and says how big they are.
///
/// - only: the name of one of them; all without
pub fn build(only: Option<&str>) -> Result<()> {
    let root = project::root()?;
    check_versions(&fs::read_to_string(root.join("Cargo.lock"))?)?;
    let toolchain = Toolchain::find()?;
    let record = root.join("www/dist/sizes.json");
    let mut sizes: BTreeMap<String, Size> =
        fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let names: Vec<&str> = VARIANTS.iter().map(|variant| variant.name).collect();
    if let Some(unknown) = only.filter(|name| !names.contains(name)) {
        bail!("there is no wasm file `{unknown}`, only {}", names.join(", "));
    }
    for variant in VARIANTS.iter().filter(|variant| only.is_none_or(|name| name == variant.name)) {
        compile(&toolchain, variant)?;
        let compiled = project::target_dir()?.join(TARGET).join(variant.profile).join("cliper.wasm");
        let compiled = fs::read(&compiled).with_context(|| format!("{} can't be read", compiled.display()))?;
        let source = source(&compiled, variant);
        let folder = root.join("www/dist/src/wasm").join(variant.name);
        let file = folder.join("cliper_bg.wasm");
        let fresh = sizes.get(variant.name).is_some_and(|size| size.source == source) && file.is_file();
        if !fresh {
            sizes.remove(variant.name);
            bind(&compiled, &folder)?;
            optimise(&root.join("www"), variant, &file)?;
            sizes.insert(variant.name.into(), measure(&fs::read(&file)?, variant, source)?);
            fs::write(&record, serde_json::to_string_pretty(&sizes)?)?;
        }
    }
    report(&sizes)
}

/// The generated JavaScript and the library inside the wasm must speak the same version.
fn check_versions(lock: &str) -> Result<()> {
    let version = |package: &str| {
        let rest = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?.1;
        rest.split_once('"').map(|(version, _)| version)
    };
    let (library, generator) = (version("wasm-bindgen"), version("wasm-bindgen-cli-support"));
    ensure!(
        library.is_some() && library == generator,
        "wasm-bindgen is {} and wasm-bindgen-cli-support {} in Cargo.lock: run `cargo update -p wasm-bindgen -p wasm-bindgen-cli-support`",
        library.unwrap_or("missing"),
        generator.unwrap_or("missing"),
    );
    Ok(())
}

fn compile(toolchain: &Toolchain, variant: &Variant) -> Result<()> {
    let mut cargo = toolchain.cargo()?;
    cargo
        .args(["rustc", "--package", "cliper", "--lib", "--crate-type", "cdylib", "--no-default-features"])
        .args(["--target", TARGET, "--profile", variant.profile])
        .env("CARGO_ENCODED_RUSTFLAGS", flags()?);
    if !variant.features.is_empty() {
        cargo.args(["--features", variant.features]);
    }
    project::run(cargo.arg("--").args(variant.flags))
}

/// Clippy on what only wasm compiles, with the features of each file.
pub fn lint() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let driver = toolchain.clippy_driver()?;
    let features: BTreeSet<&str> = VARIANTS.iter().map(|variant| variant.features).collect();
    for features in features {
        let mut cargo = toolchain.cargo()?;
        cargo
            .args(["check", "--package", "cliper", "--lib", "--no-default-features"])
            // One profile: the standard library is looked at once.
            .args(["--target", TARGET, "--profile", "wasm-cpu", "--features", features])
            // As `cargo clippy` does it, which would drop what builds the standard library.
            .env("RUSTC_WORKSPACE_WRAPPER", driver)
            .env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__")
            .env("CARGO_ENCODED_RUSTFLAGS", flags()?);
        project::run(&mut cargo)?;
    }
    Ok(())
}

/// Stands for all that a finished file depends on.
fn source(compiled: &[u8], variant: &Variant) -> String {
    let mut hash = Sha256::new();
    hash.update(compiled);
    hash.update(variant.optimise);
    hash.update(WASM_FEATURES.concat());
    hash.update(APART.concat());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes `cliper.js`, `cliper_bg.wasm` and their types. Names are dropped here and not by the
/// compiler's `strip`, which would also drop the list of wasm features that this step reads.
fn bind(compiled: &[u8], folder: &Path) -> Result<()> {
    wasm_bindgen_cli_support::Bindgen::new()
        .input_bytes("cliper", with_aligned_locals(compiled)?)
        .web(true)
        .and_then(|bindgen| {
            bindgen.typescript(true).remove_name_section(true).remove_producers_section(true).generate(folder)
        })
        .map_err(|error| anyhow::anyhow!("wasm-bindgen refused the compiled file: {error:#}"))
}

/// wasm-bindgen gives each thread memory for its thread-locals, of the alignment that the linker says. Without any
/// thread-locals that is 0, which the allocator refuses: 1 is meant.
fn with_aligned_locals(compiled: &[u8]) -> Result<Vec<u8>> {
    use walrus::{ConstExpr, ExportItem, GlobalKind, ir::Value};
    let mut module = walrus::ModuleConfig::new().strict_validate(false).parse(compiled)?;
    let found = module.exports.iter().find(|export| export.name == "__tls_align").map(|export| export.item);
    let Some(ExportItem::Global(global)) = found else { return Ok(compiled.to_vec()) };
    if let GlobalKind::Local(ConstExpr::Value(Value::I32(align @ 0))) = &mut module.globals.get_mut(global).kind {
        *align = 1;
    }
    Ok(module.emit_wasm())
}

fn optimise(www: &Path, variant: &Variant, file: &Path) -> Result<()> {
    let mut wasm_opt = Command::new(www.join("node_modules/.bin/wasm-opt"));
    wasm_opt.arg(variant.optimise).args(WASM_FEATURES).args(APART).arg("--strip-debug").arg(file).arg("-o").arg(file);
    println!("> wasm-opt {} {}/cliper_bg.wasm", variant.optimise, variant.name);
    let status = wasm_opt.status().context("wasm-opt is missing: run `npm ci` in www")?;
    ensure!(status.success(), "wasm-opt failed on the {} file; its output above says why", variant.name);
    Ok(())
}

/// Bytes in brotli, quality 11 with the widest window HTTP allows: what a host that compresses ahead sends.
pub fn brotli_bytes(bytes: &[u8]) -> Result<usize> {
    let mut packed = Vec::new();
    let settings = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &settings)?;
    Ok(packed.len())
}

fn measure(bytes: &[u8], variant: &Variant, source: String) -> Result<Size> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes)?;
    Ok(Size {
        raw: bytes.len(),
        gzip: gzip.finish()?.len(),
        brotli: brotli_bytes(bytes)?,
        budget: variant.budget,
        source,
    })
}

fn report(sizes: &BTreeMap<String, Size>) -> Result<()> {
    println!("{:12}{:>12}{:>12}{:>12}{:>12}", "wasm", "raw", "gzip", "brotli", "budget");
    for (name, size) in sizes {
        println!("{name:12}{:>12}{:>12}{:>12}{:>12}", size.raw, size.gzip, size.brotli, size.budget);
    }
    for (name, size) in sizes {
        if size.brotli > size.budget {
            bail!("the {name} wasm has {} bytes in brotli, {} over its budget", size.brotli, size.brotli - size.budget);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(library: &str, generator: &str) -> String {
        format!(
            "[[package]]\nname = \"wasm-bindgen\"\nversion = \"{library}\"\n\n[[package]]\nname = \"wasm-bindgen-cli-support\"\nversion = \"{generator}\"\n"
        )
    }

    #[test]
    fn equal_versions_pass_and_others_name_the_fix() {
        check_versions(&lock("0.2.130", "0.2.130")).unwrap();
        let error = check_versions(&lock("0.2.130", "0.2.129")).unwrap_err().to_string();
        assert!(error.contains("cargo update"), "{error}");
        assert!(check_versions("").is_err());
    }

    #[test]
    fn a_file_over_its_budget_fails() {
        let size = |brotli| Size { raw: 3, gzip: 2, brotli, budget: 10, source: String::new() };
        report(&BTreeMap::from([("cpu".into(), size(10))])).unwrap();
        assert!(report(&BTreeMap::from([("cpu".into(), size(11))])).is_err());
    }
}
