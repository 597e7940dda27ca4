//! The table of face shapes that `cargo pkg shapes` writes: a row a picture, by the picture's key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cliper::movements::SHAPES;

use crate::files::open_text;

/// One face's shapes, in the order of [`SHAPES`].
pub type FaceShapes = [f32; SHAPES.len()];

/// The faces of a table, by their pictures' keys.
pub struct ShapeTable {
    pub path: PathBuf,
    rows: HashMap<String, Option<FaceShapes>>,
}

impl ShapeTable {
    /// Reads a table; columns may stand in any order, others beside them.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display();
        let text = open_text(path)
            .with_context(|| format!("{file} can't be read; make it: cargo pkg shapes --data SET --output {file}"))?;
        let mut lines = csv::Reader::from_reader(text);
        let header = lines.headers()?.clone();
        let column = |name: &str| {
            let place = header.iter().position(|column| column == name);
            place.with_context(|| format!("{file} is no table of face shapes: it has no column `{name}`"))
        };
        let (picture, found) = (column("picture")?, column("found")?);
        let shapes = SHAPES.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;
        let mut rows = HashMap::new();
        for (index, line) in lines.records().enumerate() {
            let place = || format!("{file}, line {}", index + 2);
            let line = line.with_context(place)?;
            let mut values = [0.0; SHAPES.len()];
            for (value, &column) in values.iter_mut().zip(&shapes) {
                let text = line.get(column).unwrap_or_default().trim();
                let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
                *value = number.with_context(|| format!("{}: `{text}` is no number", place()))?;
            }
            let found = match line.get(found).unwrap_or_default().trim() {
                "1" => true,
                "0" => false,
                other => anyhow::bail!("{}: `found` is `{other}`; it must be 0 or 1", place()),
            };
            rows.insert(line.get(picture).unwrap_or_default().trim().to_owned(), found.then_some(values));
        }
        ensure!(!rows.is_empty(), "{file} has no row; run cargo pkg shapes again");
        Ok(Self { path: path.to_owned(), rows })
    }

    /// The row of a picture, where there is one: its face's shapes, where a face was found.
    pub fn get(&self, picture: &str) -> Option<Option<&FaceShapes>> {
        self.rows.get(picture).map(Option::as_ref)
    }

    /// Rows, and those with a face.
    pub fn count(&self) -> (usize, usize) {
        (self.rows.len(), self.rows.values().flatten().count())
    }
}

/// The first line of a table.
pub fn header() -> String {
    format!("picture,found,{}\n", SHAPES.join(","))
}

/// A picture's line, with five significant digits.
pub fn line(picture: &str, shapes: Option<&FaceShapes>) -> String {
    let number = |value: &f32| {
        let rounded: f64 = format!("{value:.4e}").parse().expect("a number that was just written");
        format!(",{rounded}")
    };
    let values: String = shapes.unwrap_or(&[0.0; SHAPES.len()]).iter().map(number).collect();
    format!("{picture},{}{values}\n", u8::from(shapes.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut shapes = [0.0; SHAPES.len()];
        (shapes[1], shapes[2], shapes[3]) = (0.123_456_78, 1.234_56e-7, 1.0);
        let text = line("00ff", Some(&shapes));
        assert!(text.starts_with("00ff,1,0,0.12346,0.00000012346,1,0,"), "{text}");
        let path = tempfile::NamedTempFile::new().unwrap();
        let write = |text: String| std::fs::write(path.path(), text).unwrap();
        write(header() + &text + &line("11ee", None));
        let table = ShapeTable::read(path.path()).unwrap();
        assert_eq!(table.count(), (2, 1));
        assert_eq!(table.get("00ff").unwrap().unwrap()[1], 0.12346);
        assert_eq!(table.get("11ee"), Some(None));
        assert_eq!(table.get("22dd"), None);
        let refused = |text: String| {
            write(text);
            ShapeTable::read(path.path()).err().unwrap().to_string()
        };
        assert!(refused(header()).contains("no row"));
        assert!(refused("a,b\n1,2\n".into()).contains("no column `picture`"));
        assert!(refused(header().replace("jawOpen", "jaw") + &text).contains("no column `jawOpen`"));
        assert!(refused(header() + &text.replace("0.12346", "much")).contains("line 2: `much`"));
        assert!(refused(header() + &text.replace("00ff,1", "00ff,yes")).contains("`yes`"));
    }
}
