//! Files in and out, and the order of their names; everything written is written aside and renamed.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Reads a file with its path in the error.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

/// Opens a text with its path in the error, behind the mark of the byte order that some editors put before it.
pub fn open_text(path: &Path) -> Result<File> {
    let name = path.display();
    ensure!(!path.is_dir(), "{name} is a folder; a file was expected");
    let mut file = File::open(path).with_context(|| format!("{name} can't be read"))?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(3).read_to_end(&mut head).with_context(|| format!("{name} can't be read"))?;
    ensure!(
        !head.starts_with(b"\xff\xfe") && !head.starts_with(b"\xfe\xff"),
        "{name} is written in UTF-16; save it as UTF-8"
    );
    let start = if head == b"\xef\xbb\xbf" { 3 } else { 0 };
    file.seek(SeekFrom::Start(start))?;
    Ok(file)
}

/// Reads a text, without a mark of the byte order before it.
pub fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    open_text(path)?.read_to_string(&mut text).with_context(|| format!("{} is no text in UTF-8", path.display()))?;
    Ok(text)
}

/// Writes a file beside its place, then renames it: a full disk or a stop leaves the old one whole.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    let aside = beside(path, "part");
    let written = fs::write(&aside, bytes)
        .with_context(|| format!("{} can't be written", aside.display()))
        .and_then(|()| fs::rename(&aside, path).with_context(|| format!("{} can't be put in place", path.display())));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&aside);
    }
    written
}

/// The same path with one more ending: `run.1` gives `run.1.new`, so that neighbours never share it.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Replaces a folder by another in two renames; the old one is gone only once the new one is there.
pub fn replace_folder(new: &Path, place: &Path) -> Result<()> {
    let old = beside(place, "old");
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("{} can't be removed", old.display()))?;
    }
    if place.exists() {
        fs::rename(place, &old).with_context(|| format!("{} can't be moved", place.display()))?;
    }
    fs::rename(new, place).with_context(|| format!("{} can't be put in place", place.display()))?;
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("{} can't be removed", old.display()))?;
    }
    Ok(())
}

/// Puts back what a replacement that was cut off left aside: between its two renames the place is empty.
pub fn recover_folder(place: &Path) -> Result<()> {
    let old = beside(place, "old");
    if !place.exists() && old.is_dir() {
        fs::rename(&old, place).with_context(|| format!("{} can't be put back", old.display()))?;
    }
    Ok(())
}

/// Refuses a folder that is somebody else's: one that holds things, but not the `marker` of its kind.
pub fn check_place(place: &Path, marker: &str) -> Result<()> {
    let foreign = place.exists()
        && !place.join(marker).is_file()
        && !fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(!foreign, "{} exists and holds no {marker}; name a new folder", place.display());
    Ok(())
}

/// Fills a new folder aside, then puts it in place. After an error nothing of it is left, and the old one is whole.
///
/// `marker` is a file that every folder of this kind holds: a folder without it is not replaced ([`check_place`]).
pub fn write_folder<T>(place: &Path, marker: &str, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    check_place(place, marker)?;
    let aside = beside(place, "new");
    if aside.exists() {
        fs::remove_dir_all(&aside).with_context(|| format!("{} can't be removed", aside.display()))?;
    }
    fs::create_dir_all(&aside).with_context(|| format!("{} can't be made", aside.display()))?;
    let filled = fill(&aside).and_then(|filled| replace_folder(&aside, place).map(|()| filled));
    if filled.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&aside);
    }
    filled
}

/// Files of many that could not be answered for: the others are.
#[derive(Debug, Default)]
pub struct Failed {
    failed: usize,
    all: usize,
}

impl Failed {
    /// The answer for a file, or its error, printed with the file's name.
    pub fn take<T>(&mut self, path: &Path, answer: Result<T>) -> Option<T> {
        self.all += 1;
        answer
            .inspect_err(|error| {
                self.failed += 1;
                let (why, name) = (format!("{error:#}"), path.display().to_string());
                eprintln!("{}", if why.contains(&name) { why } else { format!("{name}: {why}") });
            })
            .ok()
    }

    /// An error where there was one.
    pub fn check(&self) -> Result<()> {
        ensure!(self.failed == 0, "{} of {} files can't be answered for; they are named above", self.failed, self.all);
        Ok(())
    }
}

/// Compares names as people count: `frame-2` before `frame-10`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    fn split(text: &str) -> (bool, &str, &str) {
        let is_number = text.starts_with(|letter: char| letter.is_ascii_digit());
        let end = text.find(|letter: char| letter.is_ascii_digit() != is_number).unwrap_or(text.len());
        (is_number, &text[..end], &text[end..])
    }
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let ((left_number, one, left_rest), (right_number, other, right_rest)) = (split(left), split(right));
        let order = if left_number && right_number {
            let digits = |text: &str| text.trim_start_matches('0').to_owned();
            let (one, other) = (digits(one), digits(other));
            one.len().cmp(&other.len()).then_with(|| one.cmp(&other))
        } else {
            one.cmp(other)
        };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    // Equal as people count: the shorter first, then byte by byte, so that every order is one.
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_that_was_cut_off_is_put_back() {
        let parent = tempfile::tempdir().unwrap();
        let [run, other] = ["run.1", "run.2"].map(|name| parent.path().join(name));
        let fill = |folder: &Path, text: &str| {
            write_folder(folder, "state.json", |aside| write(&aside.join("state.json"), text.as_bytes())).unwrap();
        };
        fill(&run, "first");
        fill(&other, "other");
        // What a stop between the two renames leaves.
        fs::rename(&run, beside(&run, "old")).unwrap();
        recover_folder(&run).unwrap();
        assert_eq!(fs::read(run.join("state.json")).unwrap(), b"first");
        fill(&run, "second");
        recover_folder(&run).unwrap();
        assert_eq!(fs::read(run.join("state.json")).unwrap(), b"second");
        assert_eq!(fs::read(other.join("state.json")).unwrap(), b"other");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "nothing is left aside");
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("letter.txt"), b"mine").unwrap();
        let error = write_folder(folder.path(), "state.json", |_| Ok(())).err().unwrap().to_string();
        assert!(error.contains("state.json") && error.contains("name a new folder"), "{error}");
        assert_eq!(fs::read(folder.path().join("letter.txt")).unwrap(), b"mine");
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["b1", "a10", "a2", "a", "a02x", "a2x", "10", "9", "010"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["9", "010", "10", "a", "a2", "a02x", "a2x", "a10", "b1"]);
    }
}
