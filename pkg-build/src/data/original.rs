//! Pictures as a set has them, before a reader brings them to an encoder's size, and the key that each is known by.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use crate::media::pictures::read_picture;

use super::{DataSet, Format, Labelled, Part, Square, fer2013};

/// Side of FER2013's pictures, which its table holds.
const TABLE_SIDE: usize = 48;

/// A picture of a set.
pub enum Original {
    /// In a file of its own.
    File(PathBuf),
    /// In a table: grey levels of a square.
    Grey(Vec<u8>),
}

impl Original {
    /// RGBA bytes with width and height.
    pub fn read(&self) -> Result<(Vec<u8>, usize, usize)> {
        match self {
            Self::File(path) => read_picture(path),
            Self::Grey(levels) => {
                let rgba = levels.iter().flat_map(|&level| [level, level, level, 255]).collect();
                Ok((rgba, TABLE_SIDE, TABLE_SIDE))
            }
        }
    }
}

/// What a picture is known by whatever its name and place: the first 16 hexadecimal digits of the SHA-256 of its decoded
/// pixels (four bytes each: red, green, blue, alpha) and its width and height (four bytes each, little end first).
pub fn picture_key(rgba: &[u8], width: usize, height: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(rgba);
    hash.update((width as u32).to_le_bytes());
    hash.update((height as u32).to_le_bytes());
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl DataSet {
    /// The labelled pictures of a part, not yet read; of a set of clips, none.
    pub fn originals(&self, part: Part) -> Result<Vec<Original>> {
        if self.format == Format::Fer2013 {
            let (examples, report) = fer2013::read(&self.folder, part, Square::plain(TABLE_SIDE))?;
            report.print();
            return Ok(examples.into_iter().map(|example| Original::Grey(example.sample.picture)).collect());
        }
        let listing = self.list(part, 1)?;
        listing.report.print();
        let original = |Labelled { mut frames, name, .. }: Labelled| {
            ensure!(frames.len() == 1, "{name} is a clip; face shapes are made of sets of pictures");
            Ok(Original::File(frames.remove(0)))
        };
        listing.clips.into_iter().map(original).collect()
    }
}
