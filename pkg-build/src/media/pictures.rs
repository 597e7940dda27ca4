//! Pictures as a browser shows them, and the pictures of a folder.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use jxl_oxide::integration::JxlDecoder;

use super::{avif, ffmpeg};
use crate::files::{natural_order, read};

/// Most bytes of a decoded picture.
const LARGEST_PICTURE: u64 = 1 << 30;

/// The pictures in a folder in the order of their names, where numbers count as numbers.
pub fn picture_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        // macOS leaves `._1.png` beside `1.png` on foreign disks and in archives.
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !is_hidden && matches!(ending.as_str(), "png" | "jpg" | "jpeg" | "gif" | "bmp" | "webp" | "jxl" | "avif")
    };
    files.retain(is_picture);
    files.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    ensure!(!files.is_empty(), "{} holds no picture", folder.display());
    Ok(files)
}

/// A picture as RGBA bytes with its width and height, turned as its EXIF data says: what a browser shows. As browsers do,
/// it leaves WebP pictures as they lie. AVIF is read through the ffmpeg on the PATH.
pub fn read_picture(path: &Path) -> Result<(Vec<u8>, usize, usize)> {
    let bytes = read(path)?;
    let name = path.display();
    let unreadable =
        || format!("{name} is not a picture that can be read (PNG, JPEG, GIF, BMP, WebP, JPEG XL and AVIF can)");
    let picture = match PictureKind::of(&bytes) {
        PictureKind::JpegXl => {
            // It turns the picture by its own header; EXIF says nothing beside it.
            decode(JxlDecoder::new(Cursor::new(bytes)).with_context(unreadable)?, false, path)
        }
        PictureKind::Avif => {
            ensure!(
                !avif::is_composed(&bytes),
                "{name} is an AVIF picture of several parts or with a turn of its own, which ffmpeg passes over; convert \
                 it first, as with `avifdec PICTURE PICTURE.png`"
            );
            let mut convert = Command::new("ffmpeg");
            convert.args(["-nostdin", "-v", "error", "-i"]).arg(path);
            convert.args(["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]);
            let instead = "convert it elsewhere, as with `avifdec PICTURE PICTURE.png`";
            let png = ffmpeg::run(&mut convert, path, "an AVIF picture", instead)?;
            decode(PngDecoder::new(Cursor::new(png)).with_context(unreadable)?, false, path)
        }
        PictureKind::Heic => bail!(
            "{name} is a HEIC picture, which can't be read here; convert it first, as with `heif-convert PICTURE PICTURE.png`"
        ),
        PictureKind::Other => {
            let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
            let is_turned = reader.format() != Some(ImageFormat::WebP);
            decode(reader.into_decoder().with_context(unreadable)?, is_turned, path)
        }
    };
    let picture = picture.with_context(unreadable)?.into_rgba8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    ensure!(width > 0 && height > 0, "{name} has no pixels");
    Ok((picture.into_raw(), width, height))
}

/// A decoder's picture, within bounds, turned by its EXIF data where that counts.
fn decode(mut decoder: impl ImageDecoder, is_turned: bool, path: &Path) -> Result<DynamicImage> {
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(LARGEST_PICTURE);
    decoder.set_limits(limits)?;
    ensure!(
        decoder.total_bytes() <= LARGEST_PICTURE,
        "{} takes more than {LARGEST_PICTURE} bytes decoded",
        path.display()
    );
    // A damaged turn is no turn.
    let turn = if is_turned { decoder.orientation().ok() } else { None };
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(turn.unwrap_or(Orientation::NoTransforms));
    Ok(picture)
}

/// What reads a picture.
enum PictureKind {
    JpegXl,
    Avif,
    Heic,
    /// Whatever the `image` crate knows.
    Other,
}

impl PictureKind {
    /// By the first bytes: endings lie.
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL ") {
            return Self::JpegXl;
        }
        match bytes.get(4..12) {
            Some(b"ftypavif" | b"ftypavis") => Self::Avif,
            Some(b"ftypheic" | b"ftypheix" | b"ftypmif1") => Self::Heic,
            _ => Self::Other,
        }
    }
}
