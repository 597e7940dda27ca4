//! The face detector's configuration, and the description that lies beside its weights.

use serde::{Deserialize, Serialize};

use crate::bundle::FileEntry;
use crate::error::{Error, ErrorKind, Result};

/// The description's `format` field.
pub const FORMAT: &str = "cliper-detector";
/// The newest version this code reads, and the one it writes.
pub const VERSION: u32 = 1;

/// Numbers of one anchor: centre and size of the box, then six key points, x before y.
pub const ANCHOR_VALUES: usize = 16;

/// The first convolution: from RGB, followed by ReLU, padded as TensorFlow's SAME.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DetectorStem {
    /// Channels it puts out.
    pub channels: usize,
    /// Side of its kernel.
    pub kernel: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
}

/// A residual block: depthwise 3x3, pointwise, the input added (with zeros for new channels, the 2x2 maximum where
/// the stride is 2), ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DetectorBlock {
    /// Channels it puts out, no fewer than it takes.
    pub channels: usize,
    /// 1 keeps the side, 2 halves it.
    pub stride: usize,
}

/// Two pointwise convolutions on a block's output: scores and boxes of the anchors of each cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DetectorHead {
    /// Index of the block it reads.
    pub block: usize,
    /// Anchors of a cell, all in its middle.
    pub anchors: usize,
}

/// A BlazeFace-shaped detector (Bazarevsky et al. 2019, arXiv:1907.05047).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DetectorConfig {
    /// Side of the square input, pixels.
    pub side: usize,
    /// The first convolution.
    pub stem: DetectorStem,
    /// The residual blocks.
    pub blocks: Vec<DetectorBlock>,
    /// The heads, in the order of the blocks.
    pub heads: Vec<DetectorHead>,
}

impl DetectorConfig {
    /// MediaPipe's short-range model: 128 pixels, 896 anchors, faces within about two metres of a phone.
    pub fn short_range() -> Self {
        let block = |(channels, stride)| DetectorBlock { channels, stride };
        let blocks =
            [(24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1)];
        let last = [(96, 2), (96, 1), (96, 1), (96, 1), (96, 1)];
        Self {
            side: 128,
            stem: DetectorStem { channels: 24, kernel: 5, stride: 2 },
            blocks: blocks.into_iter().chain(last).map(block).collect(),
            heads: vec![DetectorHead { block: 10, anchors: 2 }, DetectorHead { block: 15, anchors: 6 }],
        }
    }

    /// Says what can't be built.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let Self { side, stem, blocks, heads } = self;
        let fail = |why: String| Err(Error::new(ErrorKind::InvalidConfig, format!("the face detector's {why}")));
        // Bounds far above any detector of this shape: a broken file must not ask for gigabytes.
        if *side == 0 || *side > 1024 {
            return fail(format!("side is {side}; it must be 1 to 1024"));
        }
        if !(1..=2).contains(&stem.stride) || stem.kernel % 2 == 0 || stem.kernel > 15 {
            return fail(format!(
                "stem is {}x{0} with stride {}; odd kernels to 15 and strides 1 and 2 can be built",
                stem.kernel, stem.stride
            ));
        }
        if blocks.is_empty() || blocks.len() > 64 {
            return fail(format!("blocks are {}; they must be 1 to 64", blocks.len()));
        }
        let mut channels = stem.channels;
        let mut grid = *side;
        if channels == 0 || grid % stem.stride != 0 {
            return fail("stem has no channels or does not divide the side".into());
        }
        grid /= stem.stride;
        for (index, block) in blocks.iter().enumerate() {
            if block.channels < channels || block.channels > 1024 {
                return fail(format!(
                    "block {index} goes from {channels} to {} channels; it must not lose any and have at most 1024",
                    block.channels
                ));
            }
            if !(1..=2).contains(&block.stride) || grid % block.stride != 0 {
                return fail(format!(
                    "block {index} has stride {} on a map of {grid}; 1 can be built, and 2 on an even map",
                    block.stride
                ));
            }
            channels = block.channels;
            grid /= block.stride;
        }
        let ordered = heads.windows(2).all(|pair| pair[0].block < pair[1].block);
        let known = heads.iter().all(|head| head.block < blocks.len() && (1..=64).contains(&head.anchors));
        if heads.is_empty() || !ordered || !known {
            return fail("heads must each read another of its blocks, in their order, with 1 to 64 anchors".into());
        }
        Ok(())
    }

    /// Side of the map that the stem (0) or a block (its index + 1) puts out.
    pub(super) fn grid(&self, stage: usize) -> usize {
        self.blocks[..stage].iter().fold(self.side / self.stem.stride, |grid, block| grid / block.stride)
    }

    /// Channels that the stem (0) or a block (its index + 1) puts out.
    pub(super) fn channels(&self, stage: usize) -> usize {
        stage.checked_sub(1).map_or(self.stem.channels, |block| self.blocks[block].channels)
    }
}

/// The whole of the detector's model.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetectorManifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Format version.
    pub version: u32,
    /// The detector's name.
    pub name: String,
    /// The network.
    pub detector: DetectorConfig,
    /// Terms of the weights.
    pub licence: String,
    /// Where the weights come from.
    #[serde(default)]
    pub provenance: serde_json::Value,
    /// The file of weights beside this one.
    pub weights: FileEntry,
}

impl DetectorManifest {
    /// Reads and checks the text of a detector's model.json.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBundle`] for another text, [`ErrorKind::UnsupportedBundle`] for a newer format,
    /// [`ErrorKind::InvalidConfig`] for a network that can't be built.
    pub fn parse(text: &str) -> Result<Self> {
        let fix = "make it again with `cargo pkg face`";
        let manifest: Self = serde_json::from_str(text).map_err(|error| {
            Error::with_source(ErrorKind::InvalidBundle, format!("the text describes no face detector; {fix}"), error)
        })?;
        if manifest.format != FORMAT {
            return Err(Error::new(
                ErrorKind::InvalidBundle,
                format!("the face detector says format `{}`; `{FORMAT}` was expected; {fix}", manifest.format),
            ));
        }
        if manifest.version != VERSION {
            return Err(Error::new(
                ErrorKind::UnsupportedBundle,
                format!(
                    "the face detector has format version {}, this cliper reads {VERSION}; {fix}",
                    manifest.version
                ),
            ));
        }
        manifest.detector.validate()?;
        Ok(manifest)
    }

    /// The text of the detector's model.json.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
