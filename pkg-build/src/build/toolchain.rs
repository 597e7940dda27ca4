//! Finds, or installs, a compiler with a standard library for wasm.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, anyhow};

use crate::project;

pub const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CLIPPY: &str = "/usr/bin/clippy-driver";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What compiles to wasm here.
pub enum Toolchain {
    /// The compiler that built this tool, with its standard library for wasm.
    Active,
    /// Debian's compiler, which compiles the standard library from Debian's sources of it.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// What is already here first, then what can be fetched, the user's own compiler before Debian's.
    pub fn find() -> Result<Toolchain> {
        if active_has_std() {
            return Ok(Toolchain::Active);
        }
        if let Some(debian) = debian() {
            println!("The active Rust has no standard library for {TARGET}: Debian's compiler builds one.");
            return Ok(debian);
        }
        if rustup_add() && active_has_std() {
            return Ok(Toolchain::Active);
        }
        let mut packages = DEBIAN_PACKAGES.to_vec();
        if linker().is_none() {
            packages.push("lld");
        }
        project::apt_install(&packages)
            .and_then(|()| debian().context("Debian's Rust is too old"))
            .map_err(|cause| anyhow!("no standard library for wasm; run `rustup target add {TARGET}`: {cause:#}"))
    }

    /// The compiler itself.
    pub fn rustc(&self) -> Command {
        Command::new(match self {
            Toolchain::Active => "rustc",
            Toolchain::Debian { .. } => DEBIAN_RUSTC,
        })
    }

    /// Clippy of the same version; Debian's comes apart from its compiler.
    pub fn clippy_driver(&self) -> Result<&'static str> {
        match self {
            Toolchain::Active => Ok("clippy-driver"),
            Toolchain::Debian { .. } => {
                if !Path::new(DEBIAN_CLIPPY).is_file() {
                    project::apt_install(&["rust-web-clippy"])
                        .context("there is no clippy for Debian's compiler; install rust-web-clippy")?;
                }
                Ok(DEBIAN_CLIPPY)
            }
        }
    }

    /// A cargo that compiles with this toolchain: give it `build` and what to build.
    pub fn cargo(&self) -> Result<Command> {
        let mut cargo = match self {
            Toolchain::Active => project::native_cargo()?,
            Toolchain::Debian { linker } => {
                let mut cargo = project::cargo(DEBIAN_CARGO)?;
                cargo
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1") // build-std is unstable
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .args(["-Z", "build-std=std,panic_abort"]);
                cargo
            }
        };
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
        Ok(cargo)
    }
}

fn active_has_std() -> bool {
    let libraries = project::output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    libraries.and_then(|dir| fs::read_dir(dir).ok()).is_some_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

/// Lets rustup fetch the standard library, in bounded time: offline it would retry for long.
fn rustup_add() -> bool {
    if project::find_program(&["rustup"]).is_none() {
        return false;
    }
    println!("> rustup target add {TARGET}");
    let Ok(mut rustup) = Command::new("rustup").args(["target", "add", TARGET]).spawn() else {
        return false;
    };
    let start = Instant::now();
    loop {
        match rustup.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < Duration::from_secs(180) => sleep(Duration::from_millis(100)),
            _ => {
                println!("rustup did not answer in time.");
                rustup.kill().and_then(|()| rustup.wait()).ok();
                return false;
            }
        }
    }
}

/// Debian's compiler, if it is installed with its sources, new enough, and a linker is at hand.
fn debian() -> Option<Toolchain> {
    let rustc = || Command::new(DEBIAN_RUSTC);
    let sysroot = project::output(rustc().args(["--print", "sysroot"]))?;
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock");
    let version = project::output(rustc().arg("--version"))?;
    let new_enough = minor(&version)? >= minor(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION")))?;
    if !new_enough || !sources.is_file() || !Path::new(DEBIAN_CARGO).is_file() {
        return None;
    }
    Some(Toolchain::Debian { linker: linker()? })
}

/// `96` of `rustc 1.96.0 (...)`.
fn minor(version: &str) -> Option<u32> {
    version.split_whitespace().nth(1)?.split('.').nth(1)?.parse().ok()
}

/// rustup's linker, or LLVM's.
fn linker() -> Option<PathBuf> {
    let sysroot = project::output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    let rustup = Path::new(&sysroot).join(format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", env::consts::ARCH));
    if rustup.is_file() { Some(rustup) } else { project::find_program(&["wasm-ld"]) }
}
