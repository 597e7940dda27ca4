//! The convolutional stem's training on the processor: forward and backward in brain floats, sums in f32.
//!
//! Burn computes the rest of the encoder: it gets the stem's map as a leaf and gives that leaf's gradient back. What
//! this saves is the gather of nine-fold rows, its gradient and half of the products' time: see `TRAINING.md`.

mod norm;
mod product;

use norm::Norm;
use product::{Brain, CHANNELS, FORWARD_VECTORS, GRADIENT_VECTORS, LANES, PIXELS, Pixels, Window, brain};

pub use product::Engine;

use crate::config::layout::{StageLayout, stage_layouts};
use crate::config::{Activation, EncoderConfig};
use crate::engine::burn::nn::StageValues;

/// The stem of an encoder that can be trained here.
#[derive(Debug, Clone)]
pub struct Stem {
    stages: Vec<Stage>,
    /// Of the first stage, whose input is gathered.
    first: StageLayout,
    engine: Engine,
}

/// One stage's sizes.
#[derive(Debug, Clone, Copy)]
struct Stage {
    /// Side of the input map; the first stage's input is gathered, and as large as its output.
    side: usize,
    /// Side of the output map.
    output_side: usize,
    stride: usize,
    /// Channels of the input as it is stored: even.
    channels: usize,
    /// Channels that have weights.
    real: usize,
    output: usize,
    /// 9, or 1 where the nine were gathered.
    taps: usize,
}

impl Stem {
    /// [`Stem::new`] by the processor's own products; none where it has none.
    pub fn detect(config: &EncoderConfig) -> Option<Self> {
        Engine::detect().and_then(|engine| Self::new(config, engine))
    }

    /// The stem of this configuration; none where a stage is of a kind that only Burn computes.
    pub fn new(config: &EncoderConfig, engine: Engine) -> Option<Self> {
        let layouts = stage_layouts(config);
        let fits = |layout: &StageLayout| {
            layout.output_side().is_multiple_of(PIXELS)
                && layout.side.is_multiple_of(layout.stage.stride)
                && layout.stage.stride <= 2
                && layout.stage.channels.is_multiple_of(LANES)
        };
        if layouts.is_empty() || config.activation != Activation::Relu || !layouts.iter().all(fits) {
            return None;
        }
        let stages = layouts.iter().enumerate().map(|(index, layout)| Stage::new(layout, index == 0)).collect();
        Some(Self { stages, first: layouts[0], engine })
    }

    /// The parameters as the products read them.
    pub fn weights(&self, values: Vec<StageValues>) -> StemWeights {
        let stages = self.stages.iter().zip(values).enumerate();
        StemWeights {
            stages: stages
                .map(|(index, (stage, values))| StageWeights {
                    forward: stage.pack_forward(&values.weight),
                    backward: if index == 0 { Vec::new() } else { stage.pack_backward(&values.weight) },
                    gamma: values.gamma,
                    beta: values.beta,
                })
                .collect(),
        }
    }

    /// Room for passes over up to `batch` pictures.
    pub fn pass(&self, batch: usize) -> StemPass {
        let buffers = self.stages.iter().map(|stage| Buffers::new(stage, batch)).collect();
        let most = |size: fn(&Stage) -> usize| batch * self.stages.iter().map(size).max().unwrap_or(0);
        StemPass {
            stem: self.clone(),
            buffers,
            planes: vec![0; most(Stage::input_size)],
            pairs: vec![0; most(Stage::output_size) / 2],
            gradient: vec![0; most(Stage::output_size)],
            before: vec![0; most(Stage::output_size)],
            batch: 0,
        }
    }
}

impl Stage {
    fn new(layout: &StageLayout, first: bool) -> Self {
        let output_side = layout.output_side();
        let (stride, output) = (layout.stage.stride, layout.stage.channels);
        if first {
            let real = 9 * layout.channels;
            let channels = real.next_multiple_of(2);
            return Self { side: output_side, output_side, stride: 1, channels, real, output, taps: 1 };
        }
        let channels = layout.channels;
        Self { side: layout.side, output_side, stride, channels, real: channels, output, taps: 9 }
    }

    /// Side of the input as it is stored: with a border of zeros, where there are taps.
    fn stored_side(&self) -> usize {
        if self.taps == 1 { self.side } else { self.side + 2 }
    }

    /// Values of one picture's input.
    fn input_size(&self) -> usize {
        self.stored_side().pow(2) * self.channels
    }

    /// Values of one picture's output.
    fn output_size(&self) -> usize {
        self.output_side.pow(2) * self.output
    }

    /// Values of one picture's output with a border.
    fn bordered_size(&self) -> usize {
        (self.output_side + 2).pow(2) * self.output
    }

    /// Where the taps of an output pixel lie, from the pixel's first.
    fn forward_taps(&self) -> Vec<usize> {
        (0..self.taps).map(|tap| (tap / 3 * self.stored_side() + tap % 3) * self.channels).collect()
    }

    /// `[block][tap][pair][lane][2]`.
    fn pack_forward(&self, weight: &[f32]) -> Vec<Brain> {
        let mut packed = Vec::with_capacity(self.taps * self.channels * self.output);
        for (start, vectors) in blocks(self.output, FORWARD_VECTORS) {
            for tap in 0..self.taps {
                for pair in 0..self.channels / 2 {
                    for lane in start..start + vectors * LANES {
                        for channel in [2 * pair, 2 * pair + 1] {
                            let place = (tap * self.real + channel) * self.output + lane;
                            packed.push(if channel < self.real { brain(weight[place]) } else { 0 });
                        }
                    }
                }
            }
        }
        packed
    }

    /// For each [`Corner`], `[block of input channels][tap][pair of output channels][lane][2]`.
    fn pack_backward(&self, weight: &[f32]) -> Vec<Brain> {
        let mut packed = Vec::with_capacity(9 * self.channels * self.output);
        for corner in self.corners() {
            for (start, vectors) in blocks(self.channels, FORWARD_VECTORS) {
                for &(tap, ..) in &corner.taps {
                    for pair in 0..self.output / 2 {
                        for lane in start..start + vectors * LANES {
                            let place = (tap * self.real + lane) * self.output + 2 * pair;
                            packed.extend([brain(weight[place]), brain(weight[place + 1])]);
                        }
                    }
                }
            }
        }
        packed
    }

    /// The input pixels in groups that the same taps reach: all at stride 1, at stride 2 by the parity of row and column.
    fn corners(&self) -> Vec<Corner> {
        let reached = |parity: usize| -> Vec<(usize, usize)> {
            // The tap, and the row of the bordered gradient it takes an input row's share from, for the first of the rows.
            (0..3)
                .filter(|tap| (parity + 3 - tap).is_multiple_of(self.stride))
                .map(|tap| (tap, (parity + 1 + self.stride - tap) / self.stride))
                .collect()
        };
        let mut corners = Vec::new();
        for row in 0..self.stride {
            for column in 0..self.stride {
                let mut taps = Vec::new();
                for (down, y) in reached(row) {
                    for (right, x) in reached(column) {
                        taps.push((3 * down + right, y, x));
                    }
                }
                corners.push(Corner { row, column, taps });
            }
        }
        corners
    }
}

/// Input pixels that the same taps reach.
struct Corner {
    row: usize,
    column: usize,
    /// The tap, and the row and column of the bordered gradient that the first pixel takes through it.
    taps: Vec<(usize, usize, usize)>,
}

/// Channels in blocks of up to `most` vectors: where each starts, and its vectors.
fn blocks(channels: usize, most: usize) -> Vec<(usize, usize)> {
    let mut blocks = Vec::new();
    let mut start = 0;
    while start < channels {
        let left = (channels - start) / LANES;
        // Two even blocks instead of a full one and a rest of one vector.
        let vectors = if left == most + 1 { left.div_ceil(2) } else { left.min(most) };
        blocks.push((start, vectors));
        start += vectors * LANES;
    }
    blocks
}

/// A stem's parameters as its products read them.
#[derive(Debug, Clone)]
pub struct StemWeights {
    stages: Vec<StageWeights>,
}

#[derive(Debug, Clone)]
struct StageWeights {
    forward: Vec<Brain>,
    backward: Vec<Brain>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

/// What a stage's forward pass leaves for its backward pass.
struct Buffers {
    /// `[batch, stored side, stored side, channels]`.
    input: Vec<Brain>,
    /// `[batch, output side, output side, output]`.
    output: Vec<Brain>,
    /// The gradient of `output` with a border of zeros.
    bordered: Vec<Brain>,
    norm: Norm,
}

impl Buffers {
    fn new(stage: &Stage, batch: usize) -> Self {
        Self {
            input: vec![0; batch * stage.input_size()],
            output: vec![0; batch * stage.output_size()],
            bordered: vec![0; batch * stage.bordered_size()],
            norm: Norm::default(),
        }
    }
}

/// One thread's passes through a stem; it keeps its room.
pub struct StemPass {
    stem: Stem,
    buffers: Vec<Buffers>,
    planes: Vec<Brain>,
    pairs: Vec<u32>,
    gradient: Vec<Brain>,
    before: Vec<Brain>,
    batch: usize,
}

impl StemPass {
    /// The stem's map of pictures, at most as many as there is room for.
    ///
    /// # Shapes
    /// - pixels: `[batch, channels, side, side]`
    /// - output: `[batch, output side * output side, output channels]`
    pub fn forward(&mut self, weights: &StemWeights, pixels: &[f32]) -> Vec<f32> {
        self.batch = pixels.len() / (self.stem.first.channels * self.stem.first.side.pow(2));
        assert!(self.batch * self.stem.stages[0].input_size() <= self.buffers[0].input.len(), "no room for the batch");
        self.gather(pixels);
        let count = self.stem.stages.len();
        let mut map = Vec::new();
        for index in 0..count {
            let (stage, weights) = (self.stem.stages[index], &weights.stages[index]);
            let (done, rest) = self.buffers.split_at_mut(index + 1);
            let buffers = &mut done[index];
            stage.convolve(self.stem.engine, self.batch, &buffers.input, &weights.forward, &mut buffers.output);
            let output = &buffers.output[..self.batch * stage.output_size()];
            let part = stage.output_side.pow(2);
            buffers.norm = Norm::of(output, stage.output, part, &weights.gamma, &weights.beta);
            match rest.first_mut() {
                Some(next) => {
                    let (line, border) = (stage.output_side * stage.output, stage.output);
                    let stored = line + 2 * border;
                    for (row, values) in output.chunks_exact(line).enumerate() {
                        let (picture, row) = (row / stage.output_side, row % stage.output_side);
                        let start = (picture * (stage.output_side + 2) + row + 1) * stored + border;
                        buffers.norm.apply(values, &mut next.input[start..start + line]);
                    }
                }
                None => {
                    let normed = &mut self.gradient[..output.len()];
                    buffers.norm.apply(output, normed);
                    map = normed.iter().map(|&bits| product::float(bits)).collect();
                }
            }
        }
        map
    }

    /// The parameters' gradients of the pictures that went forward last.
    ///
    /// # Shapes
    /// - gradient: of the forward pass's output
    pub fn backward(&mut self, weights: &StemWeights, gradient: &[f32]) -> Vec<StageValues> {
        for (bits, &value) in self.gradient.iter_mut().zip(gradient) {
            *bits = brain(value);
        }
        let mut all = Vec::new();
        for index in (0..self.stem.stages.len()).rev() {
            let stage = self.stem.stages[index];
            let (gamma, beta) = self.norm_gradient(index);
            let buffers = &self.buffers[index];
            stage.planes(self.batch, &buffers.input, &mut self.planes);
            let weight = stage.weight_gradient(self.stem.engine, self.batch, &self.planes, &self.pairs);
            all.push(StageValues { weight, gamma, beta });
            if index > 0 {
                let packed = &weights.stages[index].backward;
                stage.input_gradient(self.stem.engine, self.batch, &buffers.bordered, packed, &mut self.before);
                std::mem::swap(&mut self.before, &mut self.gradient);
            }
        }
        all.reverse();
        all
    }

    /// Writes the nine pixels that each output of the first stage reads.
    fn gather(&mut self, pixels: &[f32]) {
        let stage = self.stem.stages[0];
        let layout = self.stem.first;
        let (channels, area) = (layout.channels, layout.side.pow(2));
        let taps = layout.taps();
        let rows = self.buffers[0].input.chunks_exact_mut(stage.input_size());
        for (rows, pixels) in rows.zip(pixels.chunks_exact(channels * area)) {
            for (row, taps) in rows.chunks_exact_mut(stage.channels).zip(taps.chunks_exact(9)) {
                for (values, &tap) in row.chunks_exact_mut(channels).zip(taps) {
                    for (channel, value) in values.iter_mut().enumerate() {
                        // The border stands for a place behind the last.
                        *value = if tap < area { brain(pixels[channel * area + tap]) } else { 0 };
                    }
                }
            }
        }
    }

    /// From the activation's gradient that of the stage's outputs, bordered and in pairs, and the norm's own.
    fn norm_gradient(&mut self, index: usize) -> (Vec<f32>, Vec<f32>) {
        let stage = self.stem.stages[index];
        let Buffers { output, bordered, norm, .. } = &mut self.buffers[index];
        let (channels, side) = (stage.output, stage.output_side);
        let all = self.batch * stage.output_size();
        let (sums, products) = norm.collect(&output[..all], &self.gradient[..all], side * side);
        let (constant, slope) = norm.corrections(&sums, &products, self.batch * side * side);
        for place in 0..self.batch * side * side / 2 {
            let (row, column) = (2 * place / side, 2 * place % side);
            let (picture, row) = (row / side, row % side);
            let start = ((picture * (side + 2) + row + 1) * (side + 2) + column + 1) * channels;
            let both = 2 * place * channels..(2 * place + 2) * channels;
            norm.differentiate(
                (&constant, &slope),
                &output[both.clone()],
                &self.gradient[both],
                &mut bordered[start..start + 2 * channels],
                &mut self.pairs[place * channels..(place + 1) * channels],
            );
        }
        let gamma =
            products.iter().zip(&norm.inverse).map(|(&product, &inverse)| (product * f64::from(inverse)) as f32);
        (gamma.collect(), sums.iter().map(|&sum| sum as f32).collect())
    }
}

impl Stage {
    /// The convolution of whole pictures.
    fn convolve(&self, engine: Engine, batch: usize, input: &[Brain], weights: &[Brain], output: &mut [Brain]) {
        let (taps, pairs) = (self.forward_taps(), self.channels / 2);
        let (side, stored) = (self.output_side, self.stored_side());
        assert!(input.len() >= batch * self.input_size() && output.len() >= batch * self.output_size());
        assert_eq!(weights.len(), self.taps * self.channels * self.output);
        for picture in 0..batch {
            for (start, vectors) in blocks(self.output, FORWARD_VECTORS) {
                let block = &weights[self.taps * self.channels * start..];
                for row in 0..side {
                    for column in (0..side).step_by(PIXELS) {
                        let from = picture * self.input_size() + (row * stored + column) * self.stride * self.channels;
                        let to = picture * self.output_size() + (row * side + column) * self.output + start;
                        let pixels = Pixels {
                            inputs: spread(from, self.stride * self.channels),
                            outputs: spread(to, self.output),
                            taps: &taps,
                            pairs,
                        };
                        // SAFETY: the last tap of the last pixel is the last of the stored input.
                        unsafe { product::forward(engine, vectors, &pixels, input, block, output) };
                    }
                }
            }
        }
    }

    /// The gradient of the input, without a border.
    fn input_gradient(&self, engine: Engine, batch: usize, bordered: &[Brain], packed: &[Brain], input: &mut [Brain]) {
        let (side, stored, stride) = (self.side, self.output_side + 2, self.stride);
        let size = side * side * self.channels;
        assert!(bordered.len() >= batch * self.bordered_size() && input.len() >= batch * size);
        assert_eq!(packed.len(), 9 * self.channels * self.output);
        let mut packed = packed;
        for corner in self.corners() {
            let taps: Vec<usize> = corner.taps.iter().map(|(_, y, x)| (y * stored + x) * self.output).collect();
            let weights;
            (weights, packed) = packed.split_at(taps.len() * self.channels * self.output);
            for picture in 0..batch {
                for (start, vectors) in blocks(self.channels, FORWARD_VECTORS) {
                    let block = &weights[taps.len() * self.output * start..];
                    for row in 0..side / stride {
                        for column in (0..side / stride).step_by(PIXELS) {
                            let from = picture * self.bordered_size() + (row * stored + column) * self.output;
                            let (y, x) = (row * stride + corner.row, column * stride + corner.column);
                            let to = picture * size + (y * side + x) * self.channels + start;
                            let pixels = Pixels {
                                inputs: spread(from, self.output),
                                outputs: spread(to, stride * self.channels),
                                taps: &taps,
                                pairs: self.output / 2,
                            };
                            // SAFETY: a tap reaches at most the border on the other side.
                            unsafe { product::forward(engine, vectors, &pixels, bordered, block, input) };
                        }
                    }
                }
            }
        }
    }

    /// Where a stored pixel stands in its channel's plane.
    #[inline]
    fn plane_place(&self, row: usize, column: usize) -> usize {
        let stored = self.stored_side();
        row * stored + column / self.stride + column % self.stride * (stored / self.stride)
    }

    /// The input channel by channel: `[batch, channels, stored side, stored side]`, at stride 2 with each row's even
    /// columns before its odd ones, so that the pixels a tap pairs stand side by side.
    fn planes(&self, batch: usize, input: &[Brain], planes: &mut [Brain]) {
        let (stored, channels) = (self.stored_side(), self.channels);
        for picture in 0..batch {
            let place = picture * self.input_size()..(picture + 1) * self.input_size();
            let (input, planes) = (&input[place.clone()], &mut planes[place]);
            for (row, values) in input.chunks_exact(stored * channels).enumerate() {
                for column in 0..stored {
                    let place = self.plane_place(row, column);
                    let values = &values[column * channels..(column + 1) * channels];
                    for (channel, &value) in values.iter().enumerate() {
                        planes[channel * stored * stored + place] = value;
                    }
                }
            }
        }
    }

    /// Of the weights, `[taps, channels that have weights, output]`.
    fn weight_gradient(&self, engine: Engine, batch: usize, planes: &[Brain], pairs: &[u32]) -> Vec<f32> {
        /// Pairs of pixels that a tile sums before it is put away.
        const PAIRS: usize = 288;
        let (side, stored) = (self.output_side, self.stored_side());
        assert!(planes.len() >= batch * self.input_size() && 2 * pairs.len() >= batch * self.output_size());
        let mut sums = vec![0.0; self.taps * self.real * self.output];
        let group = (2 * PAIRS).div_ceil(side * side);
        for first in (0..batch).step_by(group) {
            let pictures = group.min(batch - first);
            for tap in 0..self.taps {
                let start = first * self.input_size() + self.plane_place(tap / 3, tap % 3);
                for channel in (0..self.real).step_by(CHANNELS) {
                    for (lane, vectors) in blocks(self.output, GRADIENT_VECTORS) {
                        let window = Window {
                            channels: std::array::from_fn(|offset| {
                                start + (channel + offset).min(self.real - 1) * stored * stored
                            }),
                            outputs: std::array::from_fn(|offset| {
                                (tap * self.real + (channel + offset).min(self.real - 1)) * self.output + lane
                            }),
                            count: CHANNELS.min(self.real - channel),
                            pictures: (pictures, self.input_size(), self.output_size() / 2),
                            rows: (side, self.stride * stored, side / 2 * self.output),
                            pairs: side / 2,
                            step: self.output,
                        };
                        let gradient = &pairs[first * self.output_size() / 2 + lane..];
                        // SAFETY: the last pair of the last tap ends at the stored input's last pixel.
                        unsafe { product::gradient(engine, vectors, &window, planes, gradient, &mut sums) };
                    }
                }
            }
        }
        sums
    }
}

/// Six places, equally far apart.
fn spread(start: usize, step: usize) -> [usize; PIXELS] {
    std::array::from_fn(|pixel| start + pixel * step)
}
