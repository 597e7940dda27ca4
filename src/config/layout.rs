//! Index arithmetic that both encoders share: which pixels a convolution reads, and channels-last weights.

use super::{EncoderConfig, StemStage};

/// What a stem stage reads: the side of its input map and its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageLayout {
    /// Side of the map.
    pub side: usize,
    /// Its channels.
    pub channels: usize,
    /// What the stage makes of it.
    pub stage: StemStage,
}

impl StageLayout {
    /// Side of the map that the stage puts out.
    pub fn output_side(&self) -> usize {
        self.side.div_ceil(self.stage.stride)
    }

    /// For every output pixel the nine input pixels it reads, in rows; `side * side` stands for the zero border.
    pub fn taps(&self) -> Vec<usize> {
        let (side, stride, output) = (self.side, self.stage.stride, self.output_side());
        let mut taps = Vec::with_capacity(output * output * 9);
        for position in 0..output * output {
            let (row, column) = (position / output * stride, position % output * stride);
            for tap in 0..9 {
                // One more than the true place: the border is one pixel wide.
                let (y, x) = (row + tap / 3, column + tap % 3);
                let inside = (1..=side).contains(&y) && (1..=side).contains(&x);
                taps.push(if inside { (y - 1) * side + x - 1 } else { side * side });
            }
        }
        taps
    }
}

/// The stem's stages with the maps they read.
pub fn stage_layouts(config: &EncoderConfig) -> Vec<StageLayout> {
    let (mut side, mut channels) = (config.side, config.channels);
    config
        .stem
        .iter()
        .map(|&stage| {
            let layout = StageLayout { side, channels, stage };
            (side, channels) = (layout.output_side(), stage.channels);
            layout
        })
        .collect()
}

/// `[outputs, channels, side, side]` -> `[outputs, side, side, channels]`: the order in which a gathered row of a
/// channels-last map comes.
pub fn channels_last<T: Copy + Default>(weight: &[T], channels: usize, side: usize) -> Vec<T> {
    let mut rows = vec![T::default(); weight.len()];
    let (area, row) = (side * side, side * side * channels);
    for (to, from) in rows.chunks_exact_mut(row).zip(weight.chunks_exact(row)) {
        for (channel, plane) in from.chunks_exact(area).enumerate() {
            for (pixel, &value) in to.chunks_exact_mut(channels).zip(plane) {
                pixel[channel] = value;
            }
        }
    }
    rows
}
