//! What the encoder asks of a backend beyond Burn's own operations; the defaults are plain Burn.

use burn::tensor::{Int, Tensor, TensorData, activation::softmax, backend::Backend};

use super::nn::{LayerNorm, Linear, LinearValues, activate, unit_length};
use crate::config::layout::StageLayout;
use crate::config::{Activation, LAYER_NORM_EPSILON};
use crate::error::{Error, ErrorKind, Result};

/// Tokens between two layers.
#[derive(Debug, Clone)]
pub struct Hidden<B: Backend> {
    /// `[batch, tokens, width]`.
    pub rows: Tensor<B, 3>,
    /// Of a backend that norms within the product that follows: of each row the sums, and sums of squares, of its
    /// parts, `[rows, 2 * parts]`.
    pub sums: Option<Tensor<B, 2>>,
}

impl<B: Backend> From<Tensor<B, 3>> for Hidden<B> {
    fn from(rows: Tensor<B, 3>) -> Self {
        Self { rows, sums: None }
    }
}

/// A backend that runs the encoder and the temporal head.
#[allow(async_fn_in_trait, reason = "one thread drives a session: the futures need not be Send")]
pub trait EncoderOps: Backend {
    /// Rows that this backend's products read are padded with zeros to a multiple of this many values.
    const ALIGNMENT: usize = 1;

    /// The same values in another shape.
    fn view<const D: usize, const E: usize>(tensor: Tensor<Self, D>, shape: [usize; E]) -> Tensor<Self, E> {
        tensor.reshape(shape)
    }

    /// A linear layer as this backend's products read it.
    fn matrix(values: LinearValues<'_>, device: &Self::Device) -> Linear<Self> {
        Linear::columns(values, device)
    }

    /// `activation(input weight + bias)`.
    ///
    /// # Shapes
    /// - input: `[rows, inputs]`
    /// - output: `[rows, outputs]`
    fn linear(input: Tensor<Self, 2>, layer: &Linear<Self>, activation: Option<Activation>) -> Tensor<Self, 2> {
        plain_linear(input, layer, activation)
    }

    /// `activation(norm(input) weight + bias)`.
    ///
    /// # Shapes
    /// - output: `[batch * tokens, outputs]`
    fn norm_linear(
        input: &Hidden<Self>,
        norm: &LayerNorm<Self>,
        layer: &Linear<Self>,
        activation: Option<Activation>,
    ) -> Tensor<Self, 2> {
        let [batch, tokens, width] = input.rows.dims();
        plain_linear(norm.forward(input.rows.clone()).reshape([batch * tokens, width]), layer, activation)
    }

    /// `norm(input) weight + bias`, where every row of a picture is normed with the statistics of one. Browsers ask for one
    /// picture at a time.
    ///
    /// # Shapes
    /// - held: `[batch, 1, width]`, the rows of the statistics
    /// - output: `[batch * tokens, outputs]`
    fn norm_linear_held(
        input: &Hidden<Self>,
        held: &Hidden<Self>,
        norm: &LayerNorm<Self>,
        layer: &Linear<Self>,
    ) -> Tensor<Self, 2> {
        let [batch, tokens, width] = input.rows.dims();
        let mean = held.rows.clone().mean_dim(2);
        let variance = (held.rows.clone() - mean.clone()).powi_scalar(2).mean_dim(2);
        let normed = (input.rows.clone() - mean) / (variance + LAYER_NORM_EPSILON).sqrt();
        let normed = normed * norm.gamma.val().unsqueeze() + norm.beta.val().unsqueeze();
        plain_linear(normed.reshape([batch * tokens, width]), layer, None)
    }

    /// `residual + input weight + bias`, of the first tokens of each picture.
    ///
    /// # Shapes
    /// - input: `[batch * kept, inputs]`
    /// - residual: `[batch, tokens, width]`
    /// - output: `[batch, kept, width]`
    fn linear_add(input: Tensor<Self, 2>, layer: &Linear<Self>, residual: &Hidden<Self>) -> Hidden<Self> {
        let [batch, tokens, width] = residual.rows.dims();
        let [rows, _] = input.dims();
        let kept = rows / batch;
        let mut residual = residual.rows.clone();
        if kept < tokens {
            residual = residual.narrow(1, 0, kept);
        }
        (residual + plain_linear(input, layer, None).reshape([batch, kept, width])).into()
    }

    /// Self-attention, of the first `queries` tokens over all.
    ///
    /// # Shapes
    /// - joint: `[batch, tokens, 3 * heads * size]`, queries, keys and values side by side
    /// - output: `[batch * queries, heads * size]`
    fn attention(joint: Tensor<Self, 3>, heads: usize, queries: usize) -> Tensor<Self, 2> {
        plain_attention(joint, heads, queries, None)
    }

    /// `StageLayout::taps` on the device, for a backend that reads them.
    fn taps(layout: &StageLayout, device: &Self::Device) -> Tensor<Self, 1, Int> {
        let taps: Vec<i32> = layout.taps().iter().map(|&tap| tap as i32).collect();
        let length = taps.len();
        Tensor::from_data(TensorData::new(taps, [length]), device)
    }

    /// What a 3x3 convolution reads, as rows.
    ///
    /// # Shapes
    /// - map: `[batch, side * side, channels]`
    /// - taps: of [`EncoderOps::taps`]
    /// - output: `[batch * positions, 9 * channels]`
    fn convolution_rows(map: Tensor<Self, 3>, layout: &StageLayout, taps: &Tensor<Self, 1, Int>) -> Tensor<Self, 2> {
        let [batch, pixels, channels] = map.dims();
        let device = map.device();
        let border = Tensor::zeros([batch, 1, channels], &device);
        let padded = Tensor::cat(vec![map, border], 1).reshape([batch * (pixels + 1), channels]);
        // One flat gather for the whole batch: rows of one matrix are what every backend moves fastest.
        let taps = taps.clone();
        let taps = if batch == 1 {
            taps
        } else {
            let starts = Tensor::<Self, 1, Int>::arange(0..batch as i64, &device) * (pixels as i32 + 1);
            (starts.unsqueeze_dim::<2>(1) + taps.unsqueeze_dim::<2>(0)).flatten(0, 1)
        };
        padded.select(0, taps).reshape([batch * layout.output_side().pow(2), 9 * channels])
    }

    /// Non-overlapping patches as rows, so that the patch embedding is one product.
    ///
    /// # Shapes
    /// - map: `[batch, side * side, channels]`, rows of pixels
    /// - output: `[batch * grid * grid, patch * patch * channels]`
    fn patch_rows(map: Tensor<Self, 3>, side: usize, patch: usize) -> Tensor<Self, 2> {
        let [batch, _, channels] = map.dims();
        let grid = side / patch;
        if patch == 1 {
            return map.reshape([batch * side * side, channels]);
        }
        map.reshape([batch, grid, patch, grid, patch * channels])
            .swap_dims(2, 3)
            .reshape([batch * grid * grid, patch * patch * channels])
    }

    /// A transformer's input: class token and tokens, each with its position's embedding, normed where there is a
    /// norm. With a class token, tokens stand at the last positions.
    ///
    /// # Shapes
    /// - tokens: `[batch, count, width]`
    /// - class: `[width]`
    /// - positions: `[places, width]`
    /// - output: `[batch, count, width]`, or one token more
    fn embed(
        tokens: Tensor<Self, 3>,
        class: Option<Tensor<Self, 1>>,
        positions: Tensor<Self, 2>,
        norm: Option<&LayerNorm<Self>>,
    ) -> Hidden<Self> {
        let [batch, count, width] = tokens.dims();
        let [places, _] = positions.dims();
        let embedded = match class {
            None => tokens + positions.unsqueeze_dim(0),
            Some(class) => {
                let class = class.unsqueeze_dim::<2>(0) + positions.clone().narrow(0, 0, 1);
                let class = class.unsqueeze_dim::<3>(0).expand([batch, 1, width]);
                let tokens = tokens + positions.narrow(0, places - count, count).unsqueeze_dim(0);
                Tensor::cat(vec![class, tokens], 1)
            }
        };
        match norm {
            Some(norm) => norm.forward(embedded).into(),
            None => embedded.into(),
        }
    }

    /// The mean of each picture's tokens, `[batch, 1, width]`.
    fn mean_tokens(tokens: &Hidden<Self>) -> Hidden<Self> {
        tokens.rows.clone().mean_dim(1).into()
    }

    /// Rows `[1, width]` below one another, `[1, rows, width]`.
    fn stack(rows: &[&Tensor<Self, 2>]) -> Tensor<Self, 3> {
        Tensor::cat(rows.iter().map(|&row| row.clone()).collect(), 0).unsqueeze_dim(0)
    }

    /// The rows of a matrix, `[1, width]` each.
    fn split(rows: Tensor<Self, 2>) -> Vec<Tensor<Self, 2>> {
        let [count, _] = rows.dims();
        (0..count).map(|row| rows.clone().narrow(0, row, 1)).collect()
    }

    /// The cosines of the mean of frames with every row.
    ///
    /// # Shapes
    /// - frames: `[1, width]` each, of any length
    /// - rows: `[rows, width]`, unit vectors
    /// - output: `[1, rows]`
    fn cosines(frames: &[&Tensor<Self, 2>], rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let mean = Tensor::cat(frames.iter().map(|&frame| frame.clone()).collect(), 0).mean_dim(0);
        unit_length(mean).matmul(rows.transpose())
    }

    /// Reads tensors back, all at once where the backend can.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceUnavailable`] where the device gives no answer.
    async fn read(tensors: Vec<Tensor<Self, 2>>) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let data = tensor.into_data_async().await.map_err(|error| no_answer(&format!("{error:?}")))?;
            all.push(data.convert::<f32>().to_vec().map_err(|error| no_answer(&format!("{error:?}")))?);
        }
        Ok(all)
    }

    /// Kernels launched until now, by a backend that counts them.
    fn dispatches() -> Option<u64> {
        None
    }
}

/// What a read that fails says.
pub(crate) fn no_answer(why: &str) -> Error {
    Error::new(
        ErrorKind::DeviceUnavailable,
        format!("the device gave no answer; it may be lost: create the recognizer again ({why})"),
    )
}

/// A backend that trains, whose inner backend runs the encoder too.
pub trait TrainingOps: EncoderOps + burn::tensor::backend::AutodiffBackend<InnerBackend: EncoderOps> {}

impl<B: EncoderOps + burn::tensor::backend::AutodiffBackend<InnerBackend: EncoderOps>> TrainingOps for B {}

#[cfg(feature = "flex")]
impl EncoderOps for burn::backend::Flex {}

/// Where a GPU trains, its backend runs what Burn makes of it.
#[cfg(feature = "gpu")]
impl EncoderOps for burn_wgpu::Wgpu {}

#[cfg(feature = "train")]
impl<B: Backend, C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy> EncoderOps
    for burn::backend::Autodiff<B, C>
{
}

fn plain_linear<B: Backend>(input: Tensor<B, 2>, layer: &Linear<B>, activation: Option<Activation>) -> Tensor<B, 2> {
    let bias = layer.bias.as_ref().map(|bias| bias.val());
    let output = burn::tensor::module::linear(input, layer.weight.val(), bias);
    match activation {
        Some(activation) => activate(activation, output),
        None => output,
    }
}

/// [`EncoderOps::attention`] with a bias on the logits, `[batch or 1, 1, tokens or 1, tokens]`: a mask.
pub(super) fn plain_attention<B: Backend>(
    joint: Tensor<B, 3>,
    heads: usize,
    queries: usize,
    bias: Option<Tensor<B, 4>>,
) -> Tensor<B, 2> {
    let [batch, tokens, triple] = joint.dims();
    let size = triple / 3 / heads;
    let joint = joint.reshape([batch, tokens, 3 * heads, size]).swap_dims(1, 2);
    let part = |index: usize| joint.clone().narrow(1, index * heads, heads);
    // The scale goes to the queries: fewer values than the logits.
    let mut asked = part(0) * (size as f64).powf(-0.5);
    if queries < tokens {
        asked = asked.narrow(2, 0, queries);
    }
    let mut logits = asked.matmul(part(1).transpose());
    if let Some(bias) = bias {
        logits = logits + bias;
    }
    let mixed = softmax(logits, 3).matmul(part(2));
    mixed.swap_dims(1, 2).reshape([batch * queries, heads * size])
}
