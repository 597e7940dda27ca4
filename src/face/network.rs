//! The forward pass of [`DetectorConfig`]: pixels -> raw scores and boxes of every anchor, without Burn.
//!
//! Maps are channels-last, their channels filled up to whole vectors and their sides by a border of one, so that the
//! depthwise convolutions need neither a branch nor a remainder.

use super::config::{ANCHOR_VALUES, DetectorConfig};
use crate::engine::cpu::convolution::depthwise::{Lines, depthwise};
use crate::engine::cpu::gemm::Matrix;
use crate::engine::cpu::memory::Rows;
use crate::error::Result;
use crate::tensors::Weights;

/// Channels of one step: two vectors of four.
const LANES: usize = 8;

#[derive(Debug, Clone)]
struct Block {
    /// `[9, padded channels]`.
    depthwise: Vec<f32>,
    /// `[padded channels]`.
    bias: Vec<f32>,
    pointwise: Matrix,
}

#[derive(Debug, Clone)]
struct Head {
    scores: Matrix,
    boxes: Matrix,
}

/// The detector's network with its buffers, one picture at a time.
#[derive(Debug, Clone)]
pub struct Network {
    config: DetectorConfig,
    stem: Matrix,
    blocks: Vec<Block>,
    heads: Vec<Head>,
    map: Map,
    next: Map,
    line: Vec<f32>,
}

/// What the network puts out.
#[derive(Debug, Default)]
pub struct Raw {
    /// Score of each anchor before the sigmoid, `[anchors]`.
    pub scores: Vec<f32>,
    /// Numbers of each anchor, `[anchors, ANCHOR_VALUES]`, in pixels of the input from the anchor's middle.
    pub boxes: Vec<f32>,
}

/// A square map with a border of zeros, `[side + 2, side + 2, channels]`.
#[derive(Debug, Default, Clone)]
struct Map {
    values: Vec<f32>,
    side: usize,
    channels: usize,
}

impl Map {
    fn clear(&mut self, side: usize, channels: usize) {
        self.values.clear();
        self.values.resize((side + 2) * (side + 2) * channels, 0.0);
        (self.side, self.channels) = (side, channels);
    }

    /// Where row `y` starts, without its border.
    fn row(&self, y: usize) -> usize {
        ((y + 1) * (self.side + 2) + 1) * self.channels
    }
}

fn padded(channels: usize) -> usize {
    channels.div_ceil(LANES) * LANES
}

impl Network {
    /// From named tensors, which it takes out of `weights`: `stem.weight` `[out, kernel, kernel, 3]`,
    /// `blocks.I.depthwise.weight` `[3, 3, in]`, `blocks.I.pointwise.weight` `[out, in]`, `heads.I.score.weight`
    /// `[anchors, in]`, `heads.I.box.weight` `[anchors * 16, in]`, and a `bias` beside each.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidWeights`] naming the tensor.
    pub fn load(weights: &mut Weights, config: &DetectorConfig) -> Result<Self> {
        config.validate()?;
        let mut matrix = |name: &str, shape: &[usize]| {
            let weight = weights.take(&format!("{name}.weight"), shape)?;
            let bias = weights.take(&format!("{name}.bias"), &shape[..1])?;
            Result::Ok(Matrix::pack(&weight, &bias, shape[1..].iter().product()))
        };
        let kernel = config.stem.kernel;
        let stem = matrix("stem", &[config.stem.channels, kernel, kernel, 3])?;
        let pointwise = (0..config.blocks.len())
            .map(|index| {
                matrix(&format!("blocks.{index}.pointwise"), &[config.channels(index + 1), config.channels(index)])
            })
            .collect::<Result<Vec<_>>>()?;
        let heads = config
            .heads
            .iter()
            .enumerate()
            .map(|(index, head)| {
                let channels = config.channels(head.block + 1);
                Ok(Head {
                    scores: matrix(&format!("heads.{index}.score"), &[head.anchors, channels])?,
                    boxes: matrix(&format!("heads.{index}.box"), &[head.anchors * ANCHOR_VALUES, channels])?,
                })
            })
            .collect::<Result<_>>()?;
        let blocks = pointwise
            .into_iter()
            .enumerate()
            .map(|(index, pointwise)| {
                let channels = config.channels(index);
                let name = format!("blocks.{index}.depthwise");
                let weight = weights.take(&format!("{name}.weight"), &[3, 3, channels])?;
                let bias = weights.take(&format!("{name}.bias"), &[channels])?;
                let fill = |values: &[f32]| {
                    let mut filled = vec![0.0; values.len() / channels * padded(channels)];
                    for (out, values) in filled.chunks_exact_mut(padded(channels)).zip(values.chunks_exact(channels)) {
                        out[..channels].copy_from_slice(values);
                    }
                    filled
                };
                Ok(Block { depthwise: fill(&weight), bias: fill(&bias), pointwise })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            config: config.clone(),
            stem,
            blocks,
            heads,
            map: Map::default(),
            next: Map::default(),
            line: Vec::new(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &DetectorConfig {
        &self.config
    }

    /// # Shapes
    /// - pixels: `[side, side, 3]`, RGB in -1..1
    pub fn forward(&mut self, pixels: &[f32]) -> Raw {
        self.run_stem(pixels);
        let mut raw = Raw::default();
        let mut heads = self.config.heads.iter().zip(&self.heads).peekable();
        for (index, block) in self.blocks.iter().enumerate() {
            let (side, channels) = (self.config.grid(index + 1), self.config.channels(index + 1));
            self.next.clear(side, padded(channels));
            block.run(&self.map, &mut self.next, self.config.blocks[index].stride, &mut self.line);
            std::mem::swap(&mut self.map, &mut self.next);
            if let Some((_, head)) = heads.next_if(|(head, _)| head.block == index) {
                head.scores.append(&self.map, &mut raw.scores);
                head.boxes.append(&self.map, &mut raw.boxes);
            }
        }
        raw
    }

    fn run_stem(&mut self, pixels: &[f32]) {
        let (side, stem) = (self.config.side, self.config.stem);
        let out = self.config.grid(0);
        self.map.clear(out, padded(stem.channels));
        // TensorFlow's SAME: the odd pixel of padding stands at the end.
        let before = ((out - 1) * stem.stride + stem.kernel).saturating_sub(side) / 2;
        let taps = stem.kernel * stem.kernel * 3;
        self.line.clear();
        self.line.resize(out * taps, 0.0);
        for y in 0..out {
            for x in 0..out {
                let patch = &mut self.line[x * taps..][..taps];
                for (down, row) in patch.chunks_exact_mut(stem.kernel * 3).enumerate() {
                    let from = (y * stem.stride + down).checked_sub(before).filter(|&from| from < side);
                    for (right, value) in row.chunks_exact_mut(3).enumerate() {
                        let column = (x * stem.stride + right).checked_sub(before).filter(|&column| column < side);
                        match (from, column) {
                            (Some(y), Some(x)) => value.copy_from_slice(&pixels[(y * side + x) * 3..][..3]),
                            _ => value.fill(0.0),
                        }
                    }
                }
            }
            let start = self.map.row(y);
            let row = &mut self.map.values[start..][..out * self.map.channels];
            self.stem.apply(out, Rows { values: &self.line, stride: taps }, row, self.map.channels);
            row.iter_mut().for_each(|value| *value = value.max(0.0));
        }
    }
}

impl Block {
    /// `relu(skip(input) + pointwise(depthwise(input)))`, row by row, so that a row is still near when it is used.
    fn run(&self, input: &Map, output: &mut Map, stride: usize, line: &mut Vec<f32>) {
        let channels = input.channels;
        line.clear();
        line.resize(output.side * channels, 0.0);
        for y in 0..output.side {
            self.depthwise(input, y, stride, line);
            let start = output.row(y);
            let wide = output.channels;
            let row = &mut output.values[start..][..output.side * wide];
            let width = input.side * channels;
            let near = &input.values[input.row(y * stride)..][..width];
            if stride == 1 {
                for (out, near) in row.chunks_exact_mut(wide).zip(near.chunks_exact(channels)) {
                    out[..channels].copy_from_slice(near);
                }
            } else {
                let below = &input.values[input.row(y * stride + 1)..][..width];
                let pairs = near.chunks_exact(2 * channels).zip(below.chunks_exact(2 * channels));
                for (out, (near, below)) in row.chunks_exact_mut(wide).zip(pairs) {
                    let (a, b) = near.split_at(channels);
                    let (c, d) = below.split_at(channels);
                    for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *out = a.max(*b).max(c.max(*d));
                    }
                }
            }
            self.pointwise.add(output.side, Rows { values: line, stride: channels }, row, wide);
            row.iter_mut().for_each(|value| *value = value.max(0.0));
        }
    }

    /// One output row of the 3x3 convolution. SAME pads both sides by one at stride 1, but only the end at stride 2.
    fn depthwise(&self, input: &Map, y: usize, stride: usize, line: &mut [f32]) {
        let shift = stride - 1;
        let pitch = (input.side + 2) * input.channels;
        let values = &input.values[(y * stride + shift) * pitch + shift * input.channels..];
        depthwise(&self.depthwise, &self.bias, Lines { values, pitch, stride }, line);
    }
}

impl Matrix {
    /// Puts the product with every pixel of a map behind `values`, pixel by pixel.
    fn append(&self, map: &Map, values: &mut Vec<f32>) {
        let count = self.outputs();
        for y in 0..map.side {
            let place = values.len();
            values.resize(place + map.side * count, 0.0);
            let pixels = Rows { values: &map.values[map.row(y)..], stride: map.channels };
            self.apply(map.side, pixels, &mut values[place..], count);
        }
    }
}
