//! A run's settings are its own: what a command says otherwise is refused by name, and two commands never share a run.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::files;

/// Compares what a command asks for with what a run was begun with.
pub struct Settings<'a> {
    folder: &'a Path,
    others: Vec<String>,
}

impl<'a> Settings<'a> {
    /// Of the run in a folder.
    pub fn of(folder: &'a Path) -> Self {
        Self { folder, others: Vec::new() }
    }

    /// Notes an option that was named and is another than the run's.
    pub fn keep<T: PartialEq + Display>(mut self, option: &str, asked: Option<T>, own: T) -> Self {
        if let Some(asked) = asked.filter(|asked| *asked != own) {
            self.others.push(format!("--{option} {own}, not {asked}"));
        }
        self
    }

    /// The same of an option that a run may be without.
    pub fn keep_optional<T: PartialEq + Display>(mut self, option: &str, asked: Option<T>, own: Option<T>) -> Self {
        if asked != own {
            let named = |value: Option<T>| value.map_or("none".into(), |value| value.to_string());
            self.others.push(format!("--{option} {}, not {}", named(own), named(asked)));
        }
        self
    }

    /// Refuses to go on where something is another.
    pub fn check(self) -> Result<()> {
        if self.others.is_empty() {
            return Ok(());
        }
        bail!(
            "{} was begun with {}: a run's settings are its own. Say the same to go on, or name a new folder",
            self.folder.display(),
            self.others.join(", ")
        )
    }
}

/// What a run learns from, beside its stage's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainedOn {
    /// The data set's name.
    pub data: String,
    /// The first so many pictures or clips alone, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Pictures or clips that were trained on.
    pub count: usize,
    /// The fold of a set that has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// The encoder that stays as it is: SHA-256 over its files'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

impl TrainedOn {
    /// The file beside a run's state. Runs of earlier versions have none.
    const FILE: &str = "trained-on.json";

    /// Of a run's folder.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Self::FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let broken = || format!("{} can't be read", path.display());
        Ok(Some(serde_json::from_slice(&files::read(&path)?).with_context(broken)?))
    }

    /// Into the folder of a state that is being written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write(&folder.join(Self::FILE), serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// Refuses to go on with a run that learned from something else.
    pub fn check(&self, folder: &Path) -> Result<()> {
        let Some(own) = Self::read(folder)? else { return Ok(()) };
        Settings::of(folder)
            .keep("data of", Some(self.data.clone()), own.data)
            .keep_optional("limit", self.limit, own.limit)
            .keep_optional("fold", self.fold, own.fold)
            .keep_optional("from with the encoder", self.encoder.clone(), own.encoder)
            .keep("data with as many to train on:", Some(self.count), own.count)
            .check()
    }
}

/// A run's folder that nobody else may train into. The lock stands beside it, since the folder itself is replaced at every save.
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes it.
    pub fn take(folder: &Path) -> Result<Self> {
        let mut name = folder.file_name().map_or_else(|| OsString::from("run"), OsString::from);
        name.push(".lock");
        let path = folder.with_file_name(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).with_context(|| format!("{} can't be made", parent.display()))?;
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("{} can't be written", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let other = fs::read_to_string(&path).unwrap_or_default();
                bail!(
                    "the process {} trains into {} already; wait for it, or name another folder",
                    other.trim(),
                    folder.display()
                )
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} can't be locked", path.display()));
            }
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).context("the lock can't be written")?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Left behind it does no harm: a lock ends with its process.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_otherwise_is_named_and_what_is_not_said_is_the_runs() {
        let folder = Path::new("RUN");
        let same = Settings::of(folder).keep("rate", Some(0.5), 0.5).keep("batch", None, 128);
        same.keep_optional("limit", Some(7), Some(7)).check().unwrap();
        let error = Settings::of(folder)
            .keep("rate", Some(0.5), 0.01)
            .keep("batch", Some(64), 64)
            .keep_optional("limit", None, Some(128))
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains("--rate 0.01, not 0.5") && error.contains("--limit 128, not none"), "{error}");
        assert!(!error.contains("batch"), "{error}");
    }

    #[test]
    fn a_run_has_one_trainer_at_a_time() {
        let folder = std::env::temp_dir().join(format!("cliper-lock-{}", std::process::id())).join("run");
        let lock = Lock::take(&folder).unwrap();
        let error = Lock::take(&folder).err().unwrap().to_string();
        assert!(error.contains(&std::process::id().to_string()) && error.contains("run"), "{error}");
        drop(lock);
        drop(Lock::take(&folder).unwrap());
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}
