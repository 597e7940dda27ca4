//! Where the repository's things lie, and how this tool runs other programs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The repository's root: the nearest folder upward that holds this tool.
pub fn root() -> Result<PathBuf> {
    let here = env::current_dir().context("the current folder can't be read")?;
    let root = here.ancestors().find(|folder| folder.join("pkg-build/Cargo.toml").is_file());
    Ok(root.context("run this inside cliper's repository: no pkg-build/Cargo.toml lies above")?.to_owned())
}

/// The folder of a bundle that was named, or of the built-in one.
pub fn bundle_folder(named: Option<&PathBuf>) -> Result<PathBuf> {
    match named {
        Some(folder) => Ok(folder.clone()),
        None => Ok(root()?.join(BUILT_IN_MODEL)),
    }
}

/// The bundle that ships inside the package: recognition works offline, with nothing to host.
pub const BUILT_IN_MODEL: &str = "pkg-build/models/ferplus-small";

/// The face detector that ships beside it, loaded only where faces are asked for.
pub const DETECTOR: &str = "pkg-build/models/blazeface-short-range";

/// Where a record's page for people goes: beside it, or among the reports where it lies among the records.
pub fn report_of(record: &Path) -> PathBuf {
    let page = record.with_extension("md");
    match (record.parent().filter(|folder| folder.ends_with("records")), page.file_name()) {
        (Some(records), Some(name)) => records.with_file_name("reports").join(name),
        _ => page,
    }
}

/// The one folder every cargo of ours builds in: the one that this tool was built in, so that Burn compiles once.
pub fn target_dir() -> Result<PathBuf> {
    if let Some(dir) = set("CARGO_TARGET_DIR") {
        // Cargo is run in the root, so a relative path means that folder.
        return Ok(root()?.join(dir));
    }
    let program = env::current_exe().context("this program's own path can't be read")?;
    // Cargo marks its target folder.
    let dir = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    Ok(dir.map_or(root()?.join("target"), Path::to_owned))
}

fn set(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

/// A cargo of ours, run in the root. Takes away what the cargo that runs this tool set for it: the
/// package's variables, and the library path that would mix two compilers.
pub fn cargo(program: impl AsRef<Path>) -> Result<Command> {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root()?).env("CARGO_TARGET_DIR", target_dir()?);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        let exact = ["CARGO", "CARGO_PRIMARY_PACKAGE", "LD_LIBRARY_PATH", "RUST_RECURSION_COUNT"];
        if ours.iter().any(|prefix| text.starts_with(prefix)) || exact.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// The cargo that runs this tool: the same compiler, so nothing is compiled twice.
pub fn native_cargo() -> Result<Command> {
    cargo(set("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end with its output shown.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    println!("> {shown}");
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    ensure!(status.success(), "`{shown}` failed ({status}); its output above says why");
    Ok(())
}

/// Runs a command and returns what it prints, or `None` where it is missing or fails.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A command as one would type it: program by name, arguments as they are.
pub fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first program of these names on the PATH.
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    names.iter().find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()))
}

/// Node, which the TypeScript and the browser tests need, in a version we test with.
pub fn check_node() -> Result<()> {
    let version = output(Command::new("node").arg("--version"));
    let version = version.context("install Node 20 or newer (node and npm): it is not on the PATH")?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major >= Some(20), "install Node 20 or newer: the one on the PATH is {version}");
    Ok(())
}

/// The processor's name, where the system tells.
pub fn processor() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    name.trim_start_matches([' ', '\t', ':']).into()
}

/// Installs Debian packages, where this is a Debian and we may.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if find_program(&["apt-get"]).is_none() {
        bail!("this is no Debian, so `{list}` can't be installed from here");
    }
    let root = output(Command::new("id").arg("-u")).as_deref() == Some("0");
    let sudo = !root && output(Command::new("sudo").args(["-n", "true"])).is_some();
    ensure!(root || sudo, "run `apt-get install {list}` as root, then this again");
    println!("Installing Debian's {list}.");
    let apt = || {
        let mut apt = Command::new(if sudo { "sudo" } else { "env" });
        apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]);
        apt
    };
    run(apt().arg("update"))?;
    // --no-remove: Debian's Rust conflicts with packages someone may want to keep.
    run(apt().args(["install", "--yes", "--no-remove", "--no-install-recommends"]).args(packages))
}

/// Copies a folder's files, those `keep` wants, with the folders below it.
pub fn copy_folder(from: &Path, to: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("{} can't be created", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("{} can't be read", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_folder(&path, &target, keep)?;
        } else if keep(&path) {
            fs::copy(&path, &target).with_context(|| format!("{} can't be copied", path.display()))?;
        }
    }
    Ok(())
}
