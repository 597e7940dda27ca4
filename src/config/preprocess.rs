//! What pixels are normalised by.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// What happens to pixels before the encoder: a bundle's field, since checkpoints differ in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreprocessConfig {
    /// Subtracted from each channel after scaling to 0..1.
    pub mean: Vec<f32>,
    /// Divides each channel after that.
    pub std: Vec<f32>,
}

impl PreprocessConfig {
    /// CLIP's RGB statistics (`image_mean`, `image_std` of its processor).
    pub fn clip() -> Self {
        Self { mean: vec![0.481_454_66, 0.457_827_5, 0.408_210_73], std: vec![0.268_629_54, 0.261_302_6, 0.275_777_1] }
    }

    /// FER2013's training part in grey: mean 0.508, standard deviation 0.255.
    pub fn ferplus() -> Self {
        Self { mean: vec![0.508], std: vec![0.255] }
    }

    /// Says what does not fit the encoder.
    pub fn validate(&self, channels: usize) -> Result<()> {
        let finite = self.mean.iter().chain(&self.std).all(|value| value.is_finite());
        if self.mean.len() != channels
            || self.std.len() != channels
            || !finite
            || self.std.iter().any(|&std| std <= 0.0)
        {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("`preprocess` needs {channels} finite means and {channels} positive standard deviations"),
            ));
        }
        Ok(())
    }
}
