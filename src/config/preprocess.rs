//! How a picture becomes the encoder's square, and what its pixels are normalised by.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Longest edge that a resize may ask for, pixels.
const LONGEST_EDGE: usize = 4096;

/// What happens to pixels before the encoder: a bundle's field, since checkpoints differ in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreprocessConfig {
    /// Subtracted from each channel after scaling to 0..1.
    pub mean: Vec<f32>,
    /// Divides each channel after that.
    pub std: Vec<f32>,
    /// How a picture of any shape becomes a square.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resize: ResizeConfig,
}

/// How a picture of any shape becomes the encoder's square: a resize, then a crop from the middle, or a border where
/// the resized picture is smaller. The default is CLIP's own: shorter side to the encoder's, bicubic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResizeConfig {
    /// What is brought to [`ResizeConfig::edge`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: ResizeMode,
    /// Of the resize, pixels; none is the encoder's side.
    #[serde(default, skip_serializing_if = "is_default")]
    pub edge: Option<usize>,
    /// Between pixels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interpolation: Interpolation,
    /// Where the crop begins when what is cut off is odd.
    #[serde(default, skip_serializing_if = "is_default")]
    pub crop: CropRounding,
    /// Colour of the border, RGB.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fill: [u8; 3],
}

/// What of a picture is brought to the resize's edge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResizeMode {
    /// The shorter side; the longer one keeps the proportion and is cropped.
    #[default]
    Shortest,
    /// The longer side; the shorter one keeps the proportion and gets a border.
    Longest,
    /// Both sides: the proportion is lost.
    Squash,
}

/// Pillow's antialiased filters that CLIP models are trained with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interpolation {
    /// Keys' cubic with a = -0.5.
    #[default]
    Bicubic,
    /// A triangle.
    Bilinear,
}

/// Where a crop begins when an odd number of pixels is cut off: libraries differ by one pixel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CropRounding {
    /// At the even one of the two pixels: torchvision's, so OpenAI's and open_clip's.
    #[default]
    HalfToEven,
    /// At the first of the two: transformers'.
    Down,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl ResizeConfig {
    /// Whether it is CLIP's own, which is written as nothing at all and which every version of the format reads.
    pub fn is_plain(&self) -> bool {
        is_default(self)
    }
}

impl PreprocessConfig {
    /// CLIP's RGB statistics (`image_mean`, `image_std` of its processor).
    pub fn clip() -> Self {
        Self::with_statistics(
            vec![0.481_454_66, 0.457_827_5, 0.408_210_73],
            vec![0.268_629_54, 0.261_302_6, 0.275_777_1],
        )
    }

    /// FER2013's training part in grey: mean 0.508, standard deviation 0.255.
    pub fn ferplus() -> Self {
        Self::with_statistics(vec![0.508], vec![0.255])
    }

    /// CLIP's own resize with these statistics.
    pub fn with_statistics(mean: Vec<f32>, std: Vec<f32>) -> Self {
        Self { mean, std, resize: ResizeConfig::default() }
    }

    /// Says what does not fit the encoder.
    pub fn validate(&self, channels: usize) -> Result<()> {
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidConfig, why));
        let finite = self.mean.iter().chain(&self.std).all(|value| value.is_finite());
        if self.mean.len() != channels
            || self.std.len() != channels
            || !finite
            || self.std.iter().any(|&std| std <= 0.0)
        {
            return fail(format!(
                "`preprocess` needs {channels} finite means and {channels} positive standard deviations"
            ));
        }
        match self.resize.edge {
            Some(edge) if !(1..=LONGEST_EDGE).contains(&edge) => {
                fail(format!("`preprocess.resize.edge` is {edge} pixels; it must be 1 to {LONGEST_EDGE}"))
            }
            _ => Ok(()),
        }
    }
}
