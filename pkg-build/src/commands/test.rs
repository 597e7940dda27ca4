//! `cargo pkg test`: installs what the tests need and runs all of them, the cheap ones first.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::build::package;
use crate::{build, project};

#[derive(clap::Args)]
pub struct Options {
    /// Only what needs neither wasm nor a browser
    #[arg(long)]
    quick: bool,
    /// The package in every bundler, host and browser at hand too: slow, and most of npm's traffic
    #[arg(long, conflicts_with = "quick")]
    hosts: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let mut report = Report::default();
    report.step("tools", || {
        build::install()?;
        if !options.quick {
            for browser in [CHROMIUM, FIREFOX] {
                println!("{} is {}.", browser.name, browser.program()?.display());
            }
        }
        Ok(Count::default())
    });
    report.step("format", || check(&["fmt", "--all", "--check"]));
    report.step("TypeScript format and lint", || build::biome().map(|()| Count::default()));
    // The profile and the features of `cargo pkg` itself: Burn is already compiled so.
    report.step("Rust tests", || {
        count(project::native_cargo()?.args(["test", "--release", "--workspace", "--no-fail-fast"]))
    });
    report.step("clippy", || check(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    report.step("documentation", || {
        let mut cargo = project::native_cargo()?;
        // The library's: the commands' comments are their help.
        cargo.args(["doc", "--release", "--no-deps", "--package", "cliper", "--features", "text,train"]);
        project::run(cargo.env("RUSTDOCFLAGS", "-D warnings")).map(|()| Count::default())
    });
    if options.quick {
        let built = report.step("TypeScript", || build::typescript().map(|()| Count::default()));
        report.step_if(built, "unit tests", || node("tests/web/unit", &[]));
    } else {
        let built = report.step("build", || build::run().map(|()| Count::default()));
        report.step_if(built, "clippy of the wasm files", || build::wasm::lint().map(|()| Count::default()));
        report.step_if(built, "unit tests", || node("tests/web/unit", &[]));
        report.step_if(built, "browser tests", || node("tests/web/e2e", &[CHROMIUM.for_tests()?]));
        report.step_if(built, "package tests", || {
            let mut variables = vec![CHROMIUM.for_tests()?, FIREFOX.for_tests()?, ("CLIPER_TARBALL", package::pack()?)];
            if options.hosts {
                variables.push(("CLIPER_HOSTS", "1".into()));
            }
            node("tests/package", &variables)
        });
    }
    report.close()
}

/// A cargo command that passes or fails as a whole.
fn check(arguments: &[&str]) -> Result<Count> {
    project::run(project::native_cargo()?.args(arguments)).map(|()| Count::default())
}

/// A browser that tests drive.
struct Browser {
    name: &'static str,
    /// The environment variable that names its program, for people and for the tests
    variable: &'static str,
    programs: &'static [&'static str],
    /// Debian's
    packages: &'static [&'static str],
}

const CHROMIUM: Browser = Browser {
    name: "Chromium",
    variable: "CHROMIUM",
    programs: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    packages: &["chromium"],
};

/// Its films need a library that Debian only recommends beside it.
const FIREFOX: Browser = Browser {
    name: "Firefox",
    variable: "FIREFOX",
    programs: &["firefox-esr", "firefox"],
    packages: &["firefox-esr", "libavcodec-extra"],
};

impl Browser {
    /// The program that people named, one on the PATH, or else Debian's, which is installed.
    fn program(&self) -> Result<PathBuf> {
        if let Some(path) = env::var_os(self.variable) {
            return Ok(path.into());
        }
        if let Some(path) = project::find_program(self.programs) {
            return Ok(path);
        }
        project::apt_install(self.packages)
            .and_then(|()| project::find_program(self.programs).context("the package brought no program of that name"))
            .with_context(|| format!("install {}, or set {} to its program", self.name, self.variable))
    }

    /// The variable that tells the tests where it is.
    fn for_tests(&self) -> Result<(&'static str, PathBuf)> {
        Ok((self.variable, self.program()?))
    }
}

/// Runs a folder's Node tests, file after file: a browser on few cores is slow enough alone.
fn node(folder: &str, variables: &[(&str, PathBuf)]) -> Result<Count> {
    let root = project::root()?;
    let mut files: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .with_context(|| format!("{folder} can't be read"))?
        .filter_map(|entry| Some(PathBuf::from(folder).join(entry.ok()?.file_name())))
        .filter(|file| file.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    ensure!(!files.is_empty(), "{folder} holds no *.test.mjs");
    files.sort();
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec", "--test-concurrency=1"]).args(files);
    count(node.envs(variables.iter().cloned()).current_dir(root))
}

/// Tests of one runner.
#[derive(Default, Clone, Copy, PartialEq, Debug)]
struct Count {
    passed: u32,
    failed: u32,
}

/// Runs a test runner with its output shown, and reads its closing lines.
fn count(command: &mut Command) -> Result<Count> {
    let shown = project::show(command);
    println!("> {shown}");
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("`{shown}` could not be started"))?;
    let mut count = Count::default();
    for line in BufReader::new(child.stdout.take().expect("stdout is piped")).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        let more = closing_line(&line);
        count = Count { passed: count.passed + more.passed, failed: count.failed + more.failed };
    }
    let success = child.wait()?.success();
    // A runner that failed without a failed test did not get as far as its tests.
    ensure!(success || count.failed > 0, "`{shown}` failed; its output above says why");
    Ok(count)
}

/// `test result: ok. 5 passed; 0 failed; ...` of cargo, or `ℹ pass 5`, `ℹ fail 0`, `ℹ cancelled 0`
/// of Node.
fn closing_line(line: &str) -> Count {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| word.parse().unwrap_or(0);
    match words[..] {
        ["test", "result:", _, passed, "passed;", failed, "failed;", ..] => {
            Count { passed: number(passed), failed: number(failed) }
        }
        ["ℹ", "pass", passed] => Count { passed: number(passed), failed: 0 },
        ["ℹ", "fail" | "cancelled", failed] => Count { passed: 0, failed: number(failed) },
        _ => Count::default(),
    }
}

/// What each step came to.
#[derive(Default)]
struct Report {
    steps: Vec<(&'static str, String, Duration)>,
    total: Count,
}

impl Report {
    /// Runs a step, and says whether it succeeded. A step that fails without a count is one failure.
    fn step(&mut self, name: &'static str, action: impl FnOnce() -> Result<Count>) -> bool {
        println!("\n== {name}");
        let start = Instant::now();
        let (count, outcome) = match action() {
            Ok(count) if count == Count::default() => (count, "passed".to_owned()),
            Ok(count) => (count, format!("{} passed, {} failed", count.passed, count.failed)),
            Err(error) => {
                eprintln!("{error:#}");
                (Count { passed: 0, failed: 1 }, "FAILED".to_owned())
            }
        };
        self.total.passed += count.passed;
        self.total.failed += count.failed;
        self.steps.push((name, outcome, start.elapsed()));
        count.failed == 0
    }

    fn step_if(&mut self, possible: bool, name: &'static str, action: impl FnOnce() -> Result<Count>) {
        if possible {
            self.step(name, action);
        } else {
            self.steps.push((name, "skipped: the build failed".to_owned(), Duration::ZERO));
        }
    }

    fn close(self) -> Result<()> {
        println!();
        for (name, outcome, time) in &self.steps {
            println!("{name:14}{outcome:28}{:6.1} min", time.as_secs_f64() / 60.0);
        }
        let Count { passed, failed } = self.total;
        println!("\n{passed} passed, {failed} failed");
        if failed > 0 {
            // The line above is the last one, by agreement: no error message after it.
            std::process::exit(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_read() {
        let count = |passed, failed| Count { passed, failed };
        let cargo = "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(closing_line(cargo), count(5, 2));
        assert_eq!(closing_line("ℹ pass 7"), count(7, 0));
        assert_eq!(closing_line("ℹ fail 1"), count(0, 1));
        assert_eq!(closing_line("ℹ cancelled 1"), count(0, 1));
        assert_eq!(closing_line("test closing ... ok"), Count::default());
    }

    #[test]
    fn a_step_that_breaks_counts_as_a_failure() {
        let mut report = Report::default();
        assert!(report.step("first", || Ok(Count { passed: 2, failed: 0 })));
        assert!(!report.step("second", || anyhow::bail!("broken")));
        assert_eq!(report.total, Count { passed: 2, failed: 1 });
    }
}
