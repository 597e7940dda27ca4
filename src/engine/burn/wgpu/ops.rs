//! The encoder's operations as kernels over Burn's tensors.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::tensor::{DType, Int, Tensor, TensorData, TensorPrimitive};
use burn_cubecl::tensor::CubeTensor;
use burn_wgpu::{SourceKernel, WgpuDevice, WgpuRuntime};
use cubecl::CubeCount;
use cubecl::server::{KernelArguments, MetadataBindingInfo};

use super::device::{Wgpu, opened};
use super::kernels::{Adapter, ELEMENTWISE, Kernel, ProductForm, SHARED_TILE, Source, TILES};
use super::pack::{PANEL, pack};
use crate::config::Activation;
use crate::config::layout::StageLayout;
use crate::engine::burn::nn::{LayerNorm, Linear, LinearShape, LinearValues, to_device};
use crate::engine::burn::ops::{EncoderOps, Hidden};
use crate::error::Result;
use crate::tensors::Precision;

type Buffer = CubeTensor<WgpuRuntime>;

static DISPATCHES: AtomicU64 = AtomicU64::new(0);

fn adapter() -> Adapter {
    opened().map_or(Adapter::Hardware, |opened| opened.adapter)
}

fn buffer<const D: usize>(tensor: Tensor<Wgpu, D>) -> Buffer {
    // Burn's own way dequantises what is quantised, which nothing is.
    match tensor.into_primitive() {
        TensorPrimitive::Float(buffer) | TensorPrimitive::QFloat(buffer) => buffer,
    }
}

fn tensor<const D: usize>(buffer: Buffer) -> Tensor<Wgpu, D> {
    Tensor::from_primitive(TensorPrimitive::Float(buffer))
}

/// The same buffer in another shape: all of them lie one row after the other.
fn shaped<const D: usize, const E: usize>(from: Tensor<Wgpu, D>, shape: [usize; E]) -> Tensor<Wgpu, E> {
    let CubeTensor { client, handle, device, dtype, .. } = buffer(from);
    tensor(CubeTensor::new_contiguous(client, device, shape.into(), handle, dtype))
}

/// A tensor of this shape beside another, with nothing in it yet.
fn empty<const D: usize>(beside: &Buffer, shape: [usize; D]) -> Buffer {
    let handle = beside.client.empty(4 * shape.iter().product::<usize>());
    CubeTensor::new_contiguous(beside.client.clone(), beside.device.clone(), shape.into(), handle, DType::F32)
}

/// Launches a kernel over buffers in the order of its bindings, the read ones first.
fn launch(kernel: Kernel, buffers: &[&Buffer], sizes: &[usize], groups: [usize; 3]) {
    let source = Source(kernel, adapter());
    let mut packed = [0u64; 4];
    for (index, &size) in sizes.iter().enumerate() {
        packed[index / 2] |= (size as u64) << (32 * (index % 2));
    }
    let [x, y, z] = groups.map(|count| count as u32);
    let arguments = KernelArguments::new()
        .with_buffers(buffers.iter().map(|buffer| buffer.handle.clone().binding()).collect())
        .with_info(MetadataBindingInfo::custom(packed.to_vec()));
    let task = Box::new(SourceKernel::new(source, source.workgroup()));
    buffers[0].client.launch(task, CubeCount::Static(x, y, z), arguments);
    DISPATCHES.fetch_add(1, Ordering::Relaxed);
}

/// Workgroups for this many invocations: along y as well where x alone may not go so far.
fn elementwise(invocations: usize) -> [usize; 3] {
    let groups = invocations.div_ceil(ELEMENTWISE);
    let rows = groups.div_ceil(32_768);
    [groups.div_ceil(rows), rows, 1]
}

/// Workgroups where a row takes one invocation on software and a workgroup on hardware.
fn rowwise(rows: usize) -> [usize; 3] {
    elementwise(rows * if adapter() == Adapter::Hardware { ELEMENTWISE } else { 1 })
}

/// What of a product goes beyond rows and matrix.
struct Extra<'a> {
    form: ProductForm,
    activation: Option<Activation>,
    /// Bound after the scales.
    reads: Vec<&'a Buffer>,
    /// Values from one row of the residual to the next.
    residual_stride: usize,
    /// Sums of a row, and whether each row has its own.
    parts: usize,
    has_own_sums: bool,
}

/// Rows times a layer's matrix: the output, and the sums of [`ProductForm::Add`].
fn product(input: &Buffer, rows: usize, layer: &Linear<Wgpu>, extra: Extra<'_>) -> (Buffer, Option<Buffer>) {
    let LinearShape { inputs, outputs, packed } = layer.shape();
    let weights = buffer(layer.weight.val());
    let scales = layer.bias.as_ref().map_or_else(|| weights.clone(), |bias| buffer(bias.val()));
    let output = empty(input, [rows, outputs]);
    let (groups, parts) = match adapter() {
        Adapter::Hardware => {
            ([outputs.div_ceil(SHARED_TILE), rows.div_ceil(SHARED_TILE), 1], outputs.div_ceil(SHARED_TILE))
        }
        Adapter::Software => {
            ([(rows.div_ceil(8) * outputs.div_ceil(8)).div_ceil(TILES), 1, 1], outputs.div_ceil(PANEL))
        }
    };
    let is_add = extra.form == ProductForm::Add;
    let sums = is_add.then(|| empty(input, [rows, 2 * parts]));
    let activation = match extra.activation {
        None => 0,
        Some(Activation::Relu) => 1,
        Some(Activation::QuickGelu) => 2,
        Some(Activation::GeluTanh) => 3,
        Some(Activation::Gelu) => 4,
    };
    let mut buffers = vec![input, &weights, &scales];
    buffers.extend(extra.reads);
    buffers.push(&output);
    buffers.extend(&sums);
    let sizes = [
        rows,
        inputs.div_ceil(4),
        outputs / 4,
        activation,
        extra.residual_stride / 4,
        if is_add { parts } else { extra.parts },
        usize::from(extra.has_own_sums),
    ];
    launch(Kernel::Product(extra.form, packed.unwrap_or_default()), &buffers, &sizes, groups);
    (output, sums)
}

/// A product whose rows are normed with these sums.
fn normed(
    input: &Hidden<Wgpu>,
    sums: Tensor<Wgpu, 2>,
    has_own_sums: bool,
    norm: &LayerNorm<Wgpu>,
    layer: &Linear<Wgpu>,
    activation: Option<Activation>,
) -> Tensor<Wgpu, 2> {
    let [batch, tokens, _] = input.rows.dims();
    let [_, twice] = sums.dims();
    let (rows, sums, scale) = (buffer(input.rows.clone()), buffer(sums), buffer(norm.gamma.val()));
    let mut reads = vec![&sums];
    if layer.shape().packed != Some(Precision::F32) {
        reads.push(&scale);
    }
    let form = ProductForm::Normed;
    let extra = Extra { form, activation, reads, residual_stride: 0, parts: twice / 2, has_own_sums };
    tensor(product(&rows, batch * tokens, layer, extra).0)
}

/// The sums of a tensor that was made without them.
fn sums(hidden: &Hidden<Wgpu>) -> Tensor<Wgpu, 2> {
    if let Some(sums) = &hidden.sums {
        return sums.clone();
    }
    let [batch, tokens, width] = hidden.rows.dims();
    mean(shaped(hidden.rows.clone(), [batch * tokens, 1, width])).1
}

/// Each picture's mean token, and its sums.
fn mean(tokens: Tensor<Wgpu, 3>) -> (Tensor<Wgpu, 3>, Tensor<Wgpu, 2>) {
    let [batch, count, width] = tokens.dims();
    let input = buffer(tokens);
    let (output, sums) = (empty(&input, [batch, 1, width]), empty(&input, [batch, width / 2]));
    launch(Kernel::Mean, &[&input, &output, &sums], &[batch, count, width / 4], elementwise(batch * width / 4));
    (tensor(output), tensor(sums))
}

/// Squares of a map as rows, each filled up to a multiple of four values.
fn gather(map: Tensor<Wgpu, 3>, [side, grid, square, stride, padding]: [usize; 5]) -> Tensor<Wgpu, 2> {
    let [batch, _, channels] = map.dims();
    let (rows, values4) = (batch * grid * grid, (square * square * channels).div_ceil(4));
    let input = buffer(map);
    let output = empty(&input, [rows, 4 * values4]);
    let sizes = [rows, side, grid, square, stride, padding, channels];
    launch(Kernel::Gather, &[&input, &output], &sizes, elementwise(rows * values4));
    tensor(output)
}

/// Most tensors that one dispatch reads besides what it writes.
fn most_bindings(client: &cubecl::client::ComputeClient<WgpuRuntime>) -> usize {
    // CubeCL takes one binding off the device's, which serves the output here.
    (client.properties().hardware.max_bindings as usize).clamp(1, 16)
}

impl EncoderOps for Wgpu {
    const ALIGNMENT: usize = 4;

    fn view<const D: usize, const E: usize>(tensor: Tensor<Self, D>, shape: [usize; E]) -> Tensor<Self, E> {
        shaped(tensor, shape)
    }

    fn matrix(values: LinearValues<'_>, device: &WgpuDevice) -> Linear<Self> {
        let (inputs, outputs, precision) = (values.inputs, values.rows.len() / values.inputs, values.precision);
        let packed = pack(values);
        let words = packed.weights.len() / 4;
        let bytes = TensorData::from_bytes_vec(packed.weights, [1, words], DType::F32);
        let weight = tensor(Self::float_from_data(bytes, device));
        let count = packed.scales.len();
        let scales = to_device(packed.scales, [count], device);
        // Uploaded at once: tasks that wait would hold all weights a second time.
        buffer(weight.clone()).client.flush().ok();
        Linear::of(weight, Some(scales), LinearShape { inputs, outputs, packed: Some(precision) })
    }

    fn linear(input: Tensor<Self, 2>, layer: &Linear<Self>, activation: Option<Activation>) -> Tensor<Self, 2> {
        let [rows, _] = input.dims();
        let form = ProductForm::Plain;
        let extra = Extra { form, activation, reads: Vec::new(), residual_stride: 0, parts: 0, has_own_sums: false };
        tensor(product(&buffer(input), rows, layer, extra).0)
    }

    fn norm_linear(
        input: &Hidden<Self>,
        norm: &LayerNorm<Self>,
        layer: &Linear<Self>,
        activation: Option<Activation>,
    ) -> Tensor<Self, 2> {
        normed(input, sums(input), true, norm, layer, activation)
    }

    fn norm_linear_held(
        input: &Hidden<Self>,
        held: &Hidden<Self>,
        norm: &LayerNorm<Self>,
        layer: &Linear<Self>,
    ) -> Tensor<Self, 2> {
        normed(input, sums(held), false, norm, layer, None)
    }

    fn linear_add(input: Tensor<Self, 2>, layer: &Linear<Self>, residual: &Hidden<Self>) -> Hidden<Self> {
        let ([rows, _], [batch, tokens, width]) = (input.dims(), residual.rows.dims());
        let kept = rows / batch;
        // One token kept of each picture, or all.
        let residual_stride = if kept == tokens { width } else { tokens * width };
        let residual = buffer(residual.rows.clone());
        let extra = Extra {
            form: ProductForm::Add,
            activation: None,
            reads: vec![&residual],
            residual_stride,
            parts: 0,
            has_own_sums: true,
        };
        let (output, sums) = product(&buffer(input), rows, layer, extra);
        Hidden { rows: shaped(tensor::<2>(output), [batch, kept, width]), sums: sums.map(tensor) }
    }

    fn attention(joint: Tensor<Self, 3>, heads: usize, queries: usize) -> Tensor<Self, 2> {
        let [batch, tokens, triple] = joint.dims();
        let size = triple / 3 / heads;
        let joint = buffer(joint);
        let output = empty(&joint, [batch * queries, heads * size]);
        let groups = match adapter() {
            Adapter::Hardware => [queries, heads, batch],
            Adapter::Software => [(batch * heads * queries).div_ceil(TILES), 1, 1],
        };
        // Windows of many lengths share a pipeline.
        let kernel = Kernel::Attention(tokens.next_multiple_of(16), size / 4);
        launch(kernel, &[&joint, &output], &[batch, queries, heads, tokens], groups);
        tensor(output)
    }

    fn taps(_layout: &StageLayout, device: &WgpuDevice) -> Tensor<Self, 1, Int> {
        Tensor::from_primitive(Self::int_from_data(TensorData::new(vec![0i32], [1]), device))
    }

    fn convolution_rows(map: Tensor<Self, 3>, layout: &StageLayout, _taps: &Tensor<Self, 1, Int>) -> Tensor<Self, 2> {
        gather(map, [layout.side, layout.output_side(), 3, layout.stage.stride, 1])
    }

    fn patch_rows(map: Tensor<Self, 3>, side: usize, patch: usize) -> Tensor<Self, 2> {
        let [batch, _, channels] = map.dims();
        if patch == 1 {
            return shaped(map, [batch * side * side, channels]);
        }
        gather(map, [side, side / patch, patch, patch, 0])
    }

    fn embed(
        tokens: Tensor<Self, 3>,
        class: Option<Tensor<Self, 1>>,
        positions: Tensor<Self, 2>,
        norm: Option<&LayerNorm<Self>>,
    ) -> Hidden<Self> {
        let ([batch, count, width], [places, _]) = (tokens.dims(), positions.dims());
        let count = count + usize::from(class.is_some());
        let rows = batch * count;
        let (tokens, positions) = (buffer(tokens), buffer(positions));
        let class = class.map(buffer);
        let scale = norm.map(|norm| buffer(norm.gamma.val()));
        let shift = norm.map(|norm| buffer(norm.beta.val()));
        let (output, sums) = (empty(&tokens, [batch, count, width]), empty(&tokens, [rows, 2]));
        let mut buffers = vec![&tokens, &positions];
        buffers.extend(&class);
        buffers.extend(scale.iter().chain(&shift));
        buffers.extend([&output, &sums]);
        let kernel = Kernel::Embed(class.is_some(), norm.is_some());
        launch(kernel, &buffers, &[rows, count, width / 4, places - count], rowwise(rows));
        Hidden { rows: tensor(output), sums: Some(tensor(sums)) }
    }

    fn mean_tokens(tokens: &Hidden<Self>) -> Hidden<Self> {
        let (rows, sums) = mean(tokens.rows.clone());
        Hidden { rows, sums: Some(sums) }
    }

    fn stack(rows: &[&Tensor<Self, 2>]) -> Tensor<Self, 3> {
        let rows: Vec<Buffer> = rows.iter().map(|&row| buffer(row.clone())).collect();
        let width = rows[0].meta.shape()[1];
        let output = empty(&rows[0], [1, rows.len(), width]);
        let most = most_bindings(&output.client);
        for (index, some) in rows.chunks(most).enumerate() {
            stack_some(some, most, 0, &output, index * most);
        }
        tensor(output)
    }

    fn split(rows: Tensor<Self, 2>) -> Vec<Tensor<Self, 2>> {
        let [count, width] = rows.dims();
        if count == 1 {
            return vec![rows];
        }
        let rows = buffer(rows);
        let row = |index| {
            let output = empty(&rows, [1, width]);
            stack_some(std::slice::from_ref(&rows), 1, index, &output, 0);
            tensor(output)
        };
        (0..count).map(row).collect()
    }

    fn cosines(frames: &[&Tensor<Self, 2>], rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let [count, width] = rows.dims();
        let rows = buffer(rows);
        // The rows have a binding of their own.
        let most = most_bindings(&rows.client).saturating_sub(1).max(1);
        let (bindings, frames_read) = if frames.len() <= most {
            (most, frames.iter().map(|&frame| buffer(frame.clone())).collect())
        } else {
            (1, vec![buffer(Self::stack(frames))])
        };
        let output = empty(&rows, [1, count]);
        let mut buffers = filled_up(&frames_read, bindings);
        buffers.extend([&rows, &output]);
        launch(Kernel::Cosines(bindings), &buffers, &[count, width / 4, frames.len()], elementwise(count));
        tensor(output)
    }

    async fn read(tensors: Vec<Tensor<Self, 2>>) -> Result<Vec<Vec<f32>>> {
        super::read::read(tensors.into_iter().map(buffer).collect()).await
    }

    fn dispatches() -> Option<u64> {
        Some(DISPATCHES.load(Ordering::Relaxed))
    }
}

/// Row `from` of each tensor into the output, from its row `first` on.
fn stack_some(rows: &[Buffer], bindings: usize, from: usize, output: &Buffer, first: usize) {
    let width4 = output.meta.shape()[output.meta.shape().num_dims() - 1] / 4;
    let mut buffers = filled_up(rows, bindings);
    buffers.push(output);
    launch(Kernel::Stack(bindings), &buffers, &[rows.len(), width4, first, from], elementwise(rows.len() * width4));
}

/// Tensors for this many bindings: free ones take the first once more, so that every window has the same pipeline.
fn filled_up(tensors: &[Buffer], bindings: usize) -> Vec<&Buffer> {
    (0..bindings).map(|index| tensors.get(index).unwrap_or(&tensors[0])).collect()
}
