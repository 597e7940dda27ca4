//! AffectNet: `{train,val}_set/images/ID.jpg` with `annotations/ID_exp.npy`, a NumPy file of one label.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{Labelled, Listing, Part};
use crate::files::{natural_order, read};

/// Labels count from 0; 8 to 10 are none, uncertain and no face.
const EXPRESSIONS: [&str; 8] = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"];

/// - classes: 8, or 7 without contempt
pub fn list(folder: &Path, part: Part, classes: usize) -> Result<Listing> {
    let part = folder.join(if part == Part::Train { "train_set" } else { "val_set" });
    let annotations = part.join("annotations");
    let entries = fs::read_dir(&annotations).with_context(|| {
        format!("{} can't be read; give the folder of train_set and val_set", annotations.display())
    })?;
    let mut names =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with("_exp.npy"));
    names.sort_by(|a, b| natural_order(a, b));
    let mut listing = Listing { expressions: EXPRESSIONS[..classes].to_vec(), ..Listing::default() };
    listing.report.because = if classes == 7 {
        "without an expression, or with contempt"
    } else {
        "without an expression (none, uncertain, no face)"
    };
    for name in names {
        listing.report.rows += 1;
        let id = name.trim_end_matches("_exp.npy");
        let image = part.join("images").join(format!("{id}.jpg"));
        let row = read(&annotations.join(&name)).and_then(|bytes| one_number(&bytes)).and_then(|label| {
            ensure!((0..11).contains(&label), "label {label} is not 0 to 10");
            ensure!(image.is_file(), "{} is missing", image.display());
            Ok(label as usize)
        });
        match row {
            Ok(label) if label < classes => listing.clips.push(Labelled {
                name: image.display().to_string(),
                frames: vec![image],
                expression: EXPRESSIONS[label],
            }),
            Ok(_) => listing.report.left_out += 1,
            Err(error) => listing.report.damaged.push(format!("{}: {error:#}", annotations.join(&name).display())),
        }
    }
    Ok(listing)
}

/// The one value of a NumPy file, which AffectNet stores as text (`<U1`) and others as a number.
fn one_number(bytes: &[u8]) -> Result<i64> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").context("no NumPy file")?;
    let (length, start) = match rest {
        [1, _, low, high, ..] => (u16::from_le_bytes([*low, *high]) as usize, 4),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 6),
        _ => bail!("a NumPy file of an unknown version"),
    };
    let header = rest.get(start..start + length).context("a cut NumPy file")?;
    let data = &rest[start + length..];
    let header = String::from_utf8_lossy(header);
    let kind = header.split("'descr':").nth(1).and_then(|rest| rest.split('\'').nth(1)).context("no `descr`")?;
    let (order, kind) = kind.split_at_checked(1).context("an empty `descr`")?;
    ensure!(order != ">", "numbers of the other byte order");
    let letters = |step: usize| -> Result<i64> {
        let text: String = data.iter().step_by(step).filter(|byte| **byte != 0).map(|&byte| char::from(byte)).collect();
        text.trim().parse().with_context(|| format!("`{text}` is no label"))
    };
    let number = |size: usize| -> Result<[u8; 8]> {
        ensure!(data.len() == size, "{} bytes instead of one number", data.len());
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(data);
        Ok(wide)
    };
    Ok(match kind {
        kind if kind.starts_with('U') => letters(4)?,
        kind if kind.starts_with('S') => letters(1)?,
        "i1" | "u1" => number(1)?[0].into(),
        "i2" | "u2" => i64::from_le_bytes(number(2)?),
        "i4" | "u4" => i64::from_le_bytes(number(4)?),
        "i8" | "u8" => i64::from_le_bytes(number(8)?),
        "f4" => f32::from_le_bytes(number(4)?[..4].try_into()?) as i64,
        "f8" => f64::from_le_bytes(number(8)?) as i64,
        other => bail!("a NumPy file of `{other}`; text and numbers can be read"),
    })
}

#[cfg(test)]
mod tests {
    use super::one_number;

    /// As `numpy.save` writes an array without axes.
    fn file(kind: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (), }}");
        let header = format!("{header:117}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn one_label_is_read_in_every_form() {
        assert_eq!(one_number(&file("<U1", &[b'7', 0, 0, 0])).unwrap(), 7);
        assert_eq!(one_number(&file("<U2", &[b'1', 0, 0, 0, b'0', 0, 0, 0])).unwrap(), 10);
        assert_eq!(one_number(&file("|S1", b"3")).unwrap(), 3);
        assert_eq!(one_number(&file("<i8", &5i64.to_le_bytes())).unwrap(), 5);
        assert_eq!(one_number(&file("<f4", &2.0f32.to_le_bytes())).unwrap(), 2);
        for broken in [b"7".to_vec(), file("<U1", &[b'x', 0, 0, 0]), file("<i8", &[1]), file("<c8", &[0; 8])] {
            assert!(one_number(&broken).is_err());
        }
        assert!(one_number(&file("<i8", &[0; 8])[..20]).is_err());
    }
}
