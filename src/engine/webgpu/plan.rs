//! Configuration and batch -> buffers, weights and steps: everything about a pass but its numbers.

use serde::Serialize;

use super::kernels::{Adapter, ELEMENTWISE, Kernel, SHARED_TILE, Storage, TILES};
use crate::config::layout::stage_layouts;
use crate::config::{EncoderConfig, TokenPool};

/// What a product does to its sums besides the bias.
const PLAIN: usize = 0;
const ACTIVATE: usize = 1;
const ADD: usize = 2;

/// Where a weight comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A matrix of these tensors one below another, `{name}.weight` `[outputs, inputs]` each.
    Matrix { names: Vec<String>, outputs: usize, inputs: usize, bias: bool },
    /// A convolution `[outputs, channels, side, side]`, its rows with channels last.
    Convolution { name: String, outputs: usize, channels: usize, side: usize, bias: bool },
    /// A layer norm's scales and shifts.
    Norm { name: String, width: usize },
    /// One tensor as it is.
    Plain { name: String, shape: Vec<usize> },
    /// The class token that a mean-pooled encoder does not have.
    Nothing,
}

/// A buffer of the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// The `n`th work buffer.
    Work(usize),
    /// The matrix, norm or tensor of the `n`th source.
    Weights(usize),
    /// Biases and scales of the `n`th source, a matrix.
    Scales(usize),
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its pipeline.
    pub kernel: Kernel,
    /// What it binds after its size.
    pub buffers: Vec<Buffer>,
    /// Its uniform `Size`, filled up with zeros.
    pub size: [u32; 8],
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
}

/// One pass over a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Pictures of a pass.
    pub batch: usize,
    /// The weights, in the order of the forward pass; the same for every batch.
    pub sources: Vec<Source>,
    /// Bytes of each work buffer. The first takes the pixels.
    pub work: Vec<usize>,
    /// The work buffer that is read at the end.
    pub output: usize,
    /// How many of its values.
    pub output_values: usize,
    /// The dispatches in order.
    pub steps: Vec<Step>,
}

/// A plan for JavaScript: indices in place of names, kernels with their code.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlainPlan {
    /// The pipelines.
    pub kernels: Vec<PlainKernel>,
    /// Bytes of each work buffer.
    pub work: Vec<usize>,
    /// The work buffer to read.
    pub output: usize,
    /// Bytes to read of it.
    pub output_bytes: usize,
    /// The dispatches.
    pub steps: Vec<PlainStep>,
}

/// A pipeline for JavaScript.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlainKernel {
    /// Its name, for tools.
    pub name: &'static str,
    /// Its WGSL.
    pub code: String,
}

/// A dispatch for JavaScript.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlainStep {
    /// Index of its kernel.
    pub kernel: usize,
    /// Work buffers as `n`, weights as `-1 - n` in order of their upload.
    pub buffers: Vec<i64>,
    /// Its uniform.
    pub size: [u32; 8],
    /// Its workgroups.
    pub workgroups: [u32; 3],
}

// Work buffers.
const PIXELS: usize = 0;
const MAP: usize = 1;
const ROWS: usize = 2;
const HIDDEN: usize = 3;
const NORMED: usize = 4;
const JOINT: usize = 5;
const WIDE: usize = 6;
const MIXED: usize = 7;
const OUTPUT: usize = 8;
const BUFFERS: usize = 9;

/// Why these kernels can't run a configuration, if they can't: they read four values at a time.
pub fn unsupported(config: &EncoderConfig) -> Option<String> {
    let head = config.width / config.heads;
    [("width of a head", head), ("embedding", config.embedding)]
        .into_iter()
        .chain(config.stem.iter().map(|stage| ("number of a stem's channels", stage.channels)))
        .find(|(_, value)| !value.is_multiple_of(4))
        .map(|(name, value)| format!("its {name} is {value}, and only multiples of 4 can be computed"))
}

/// The pass of a configuration over `batch` pictures.
pub fn plan(config: &EncoderConfig, batch: usize, adapter: Adapter) -> Plan {
    let mut plan = Planner {
        config,
        adapter,
        plan: Plan {
            batch,
            sources: Vec::new(),
            work: vec![0; BUFFERS],
            output: OUTPUT,
            output_values: batch * config.embedding,
            steps: Vec::new(),
        },
    };
    plan.pass();
    plan.plan
}

struct Planner<'a> {
    config: &'a EncoderConfig,
    adapter: Adapter,
    plan: Plan,
}

/// Rows of a product or norm: how many, and vectors of four from one to the next in the input and the output.
#[derive(Clone, Copy)]
struct Lines {
    count: usize,
    input_stride4: usize,
    output_stride4: usize,
}

impl Lines {
    /// Rows one after the other.
    fn of(count: usize, inputs: usize, outputs: usize) -> Self {
        Self { count, input_stride4: inputs.div_ceil(4), output_stride4: outputs / 4 }
    }
}

impl Planner<'_> {
    fn pass(&mut self) {
        let config = self.config;
        let batch = self.plan.batch;
        let (width, tokens, patches) = (config.width, config.tokens(), config.patches());
        let width4 = width / 4;
        self.hold(PIXELS, batch * config.channels * config.side * config.side);

        let embedded = self.patch_rows();
        self.patch_embedding(embedded, patches * batch);
        let class = if config.pool == TokenPool::Class {
            Source::Plain { name: "vision_model.embeddings.class_embedding".into(), shape: vec![width] }
        } else {
            Source::Nothing
        };
        let class = self.source(class);
        let positions = self.source(Source::Plain {
            name: "vision_model.embeddings.position_embedding.weight".into(),
            shape: vec![tokens, width],
        });
        self.hold(MIXED, batch * tokens * width);
        let buffers = vec![Buffer::Work(WIDE), Buffer::Weights(class), Buffer::Weights(positions), Buffer::Work(MIXED)];
        let has_class = usize::from(config.pool == TokenPool::Class);
        let size = [batch * tokens, tokens, has_class, width4];
        self.step(Kernel::Embed, buffers, &size, elementwise(batch * tokens * width4));

        let all = Lines::of(batch * tokens, width, width);
        // The class token alone leaves the last block: the other rows need no attention output and no MLP.
        let first = Lines { count: batch, input_stride4: tokens * width4, output_stride4: tokens * width4 };
        self.norm("vision_model.pre_layrnorm", all, MIXED, HIDDEN); // sic: the checkpoints' spelling
        for layer in 0..config.layers {
            let name = format!("vision_model.encoder.layers.{layer}");
            let last = layer + 1 == config.layers && config.pool == TokenPool::Class;
            let kept = if last { first } else { all };
            self.norm(&format!("{name}.layer_norm1"), all, HIDDEN, NORMED);
            let joint = ["q_proj", "k_proj", "v_proj"].map(|part| format!("{name}.self_attn.{part}"));
            let lines = Lines { output_stride4: 3 * width4, ..all };
            self.product(joint.to_vec(), [width, width], true, lines, [NORMED, JOINT], PLAIN);
            self.attention(if last { 1 } else { tokens });
            let output = vec![format!("{name}.self_attn.out_proj")];
            self.product(output, [width, width], true, kept, [MIXED, HIDDEN], ADD);
            self.norm(&format!("{name}.layer_norm2"), Lines { output_stride4: width4, ..kept }, HIDDEN, NORMED);
            let wide = Lines::of(kept.count, width, 4 * width);
            let narrow = Lines { count: kept.count, input_stride4: 4 * width4, output_stride4: kept.output_stride4 };
            let mlp = |part: &str| vec![format!("{name}.mlp.{part}")];
            self.product(mlp("fc1"), [width, 4 * width], true, wide, [NORMED, WIDE], ACTIVATE);
            self.product(mlp("fc2"), [4 * width, width], true, narrow, [WIDE, HIDDEN], ADD);
        }
        let lines = Lines::of(batch, width, config.embedding);
        match config.pool {
            TokenPool::Class => {
                let lines = Lines { output_stride4: width4, ..first };
                self.norm("vision_model.post_layernorm", lines, HIDDEN, NORMED);
            }
            TokenPool::Mean => {
                let buffers = vec![Buffer::Work(HIDDEN), Buffer::Work(MIXED)];
                self.step(Kernel::Mean, buffers, &[batch, tokens, width4], elementwise(batch * width4));
                self.norm("vision_model.post_layernorm", Lines::of(batch, width, width), MIXED, NORMED);
            }
        }
        let projection = vec!["visual_projection".into()];
        self.product(projection, [width, config.embedding], false, lines, [NORMED, OUTPUT], PLAIN);
    }

    /// The stem, and its map's patches as rows: the work buffer that holds them.
    fn patch_rows(&mut self) -> usize {
        let config = self.config;
        for (index, layout) in stage_layouts(config).into_iter().enumerate() {
            let (channels, outputs) = (layout.channels, layout.stage.channels);
            let (side, stride) = (layout.output_side(), layout.stage.stride);
            let from = if index == 0 { PIXELS } else { MAP };
            let count = self.gather(from, [layout.side, side, 3, stride, 1, channels]);
            let name = format!("vision_model.embeddings.stem.{index}.convolution");
            let source = self.source(Source::Convolution { name, outputs, channels, side: 3, bias: true });
            self.multiply(
                source,
                [9 * channels, outputs],
                Lines::of(count, 9 * channels, outputs),
                [ROWS, MAP],
                ACTIVATE,
            );
        }
        let has_stem = !config.stem.is_empty();
        if has_stem && config.patch == 1 {
            return MAP;
        }
        let from = if has_stem { MAP } else { PIXELS };
        let (grid, patch) = (config.grid(), config.patch);
        self.gather(from, [grid * patch, grid, patch, patch, 0, config.patch_channels()]);
        ROWS
    }

    /// Squares of a map into the rows' buffer: how many.
    fn gather(&mut self, from: usize, [side, grid, square, stride, padding, channels]: [usize; 6]) -> usize {
        let rows = self.plan.batch * grid * grid;
        let values4 = (square * square * channels).div_ceil(4);
        self.hold(ROWS, rows * 4 * values4);
        // Pixels come channel after channel; every map has its channels last.
        let planes = usize::from(from == PIXELS);
        let size = [rows, side, grid, square, stride, padding, channels, planes];
        let buffers = vec![Buffer::Work(from), Buffer::Work(ROWS)];
        self.step(Kernel::Gather, buffers, &size, elementwise(rows * values4));
        rows
    }

    fn patch_embedding(&mut self, rows: usize, count: usize) {
        let config = self.config;
        let source = self.source(Source::Convolution {
            name: "vision_model.embeddings.patch_embedding".into(),
            outputs: config.width,
            channels: config.patch_channels(),
            side: config.patch,
            bias: false,
        });
        let (inputs, width) = (config.patch_values(), config.width);
        self.multiply(source, [inputs, width], Lines::of(count, inputs, width), [rows, WIDE], PLAIN);
    }

    fn product(
        &mut self,
        names: Vec<String>,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        lines: Lines,
        buffers: [usize; 2],
        epilogue: usize,
    ) {
        let all = outputs * names.len();
        let source = self.source(Source::Matrix { names, outputs, inputs, bias });
        self.multiply(source, [inputs, all], lines, buffers, epilogue);
    }

    fn multiply(
        &mut self,
        source: usize,
        [inputs, outputs]: [usize; 2],
        lines: Lines,
        [from, to]: [usize; 2],
        epilogue: usize,
    ) {
        self.hold(to, lines.count * 4 * lines.output_stride4);
        let size = [lines.count, inputs.div_ceil(4), outputs / 4, lines.input_stride4, lines.output_stride4, epilogue];
        let workgroups = match self.adapter {
            Adapter::Hardware => [outputs.div_ceil(SHARED_TILE), lines.count.div_ceil(SHARED_TILE), 1],
            Adapter::Software => [(lines.count.div_ceil(8) * outputs.div_ceil(8)).div_ceil(TILES), 1, 1],
        };
        let buffers = vec![Buffer::Work(from), Buffer::Weights(source), Buffer::Scales(source), Buffer::Work(to)];
        self.step(Kernel::Product, buffers, &size, workgroups);
    }

    fn norm(&mut self, name: &str, lines: Lines, from: usize, to: usize) {
        let source = self.source(Source::Norm { name: name.into(), width: self.config.width });
        self.hold(to, lines.count * 4 * lines.output_stride4);
        let lanes = if self.adapter == Adapter::Hardware { ELEMENTWISE } else { 1 };
        let buffers = vec![Buffer::Work(from), Buffer::Weights(source), Buffer::Work(to)];
        let size = [lines.count, self.config.width / 4, lines.input_stride4, lines.output_stride4];
        self.step(Kernel::Norm, buffers, &size, elementwise(lines.count * lanes));
    }

    fn attention(&mut self, queries: usize) {
        let (batch, heads) = (self.plan.batch, self.config.heads);
        let workgroups = match self.adapter {
            Adapter::Hardware => [queries, heads, batch],
            Adapter::Software => [(batch * heads * queries).div_ceil(TILES), 1, 1],
        };
        let buffers = vec![Buffer::Work(JOINT), Buffer::Work(MIXED)];
        self.step(Kernel::Attention, buffers, &[batch, queries, heads], workgroups);
    }

    fn source(&mut self, source: Source) -> usize {
        self.plan.sources.push(source);
        self.plan.sources.len() - 1
    }

    /// Makes a work buffer hold this many values.
    fn hold(&mut self, buffer: usize, values: usize) {
        let bytes = &mut self.plan.work[buffer];
        *bytes = (*bytes).max(4 * values);
    }

    fn step(&mut self, kernel: Kernel, buffers: Vec<Buffer>, values: &[usize], workgroups: [usize; 3]) {
        let mut size = [0; 8];
        for (place, &value) in size.iter_mut().zip(values) {
            *place = value as u32;
        }
        self.plan.steps.push(Step { kernel, buffers, size, workgroups: workgroups.map(|count| count as u32) });
    }
}

/// Workgroups for this many invocations: along y as well where x alone may not go so far.
fn elementwise(invocations: usize) -> [usize; 3] {
    let groups = invocations.div_ceil(ELEMENTWISE);
    let rows = groups.div_ceil(32_768);
    [groups.div_ceil(rows), rows, 1]
}

impl Plan {
    /// Whether it is one of [`Plan::with_tokens`].
    pub fn reads_tokens(&self) -> bool {
        self.output == HIDDEN
    }

    /// The same pass with its tokens read, `[batch, tokens, width]`, in place of its embeddings.
    pub fn with_tokens(self, config: &EncoderConfig) -> Self {
        Self { output: HIDDEN, output_values: self.batch * config.tokens() * config.width, ..self }
    }

    /// The plan for JavaScript, its kernels for this adapter and storage.
    pub fn plain(&self, config: &EncoderConfig, adapter: Adapter, storage: Storage) -> PlainPlan {
        let mut kernels: Vec<Kernel> = self.steps.iter().map(|step| step.kernel).collect();
        kernels.sort();
        kernels.dedup();
        // A matrix is two uploads, everything else one.
        let mut uploads = Vec::with_capacity(self.sources.len());
        let mut count = 0i64;
        for source in &self.sources {
            uploads.push(count);
            count += if source.is_matrix() { 2 } else { 1 };
        }
        let index = |buffer: &Buffer| match *buffer {
            Buffer::Work(work) => work as i64,
            Buffer::Weights(source) => -1 - uploads[source],
            Buffer::Scales(source) => -2 - uploads[source],
        };
        let steps = self.steps.iter().map(|step| PlainStep {
            kernel: kernels.iter().position(|kernel| *kernel == step.kernel).unwrap_or_default(),
            buffers: step.buffers.iter().map(index).collect(),
            size: step.size,
            workgroups: step.workgroups,
        });
        PlainPlan {
            kernels: kernels
                .iter()
                .map(|kernel| PlainKernel { name: kernel.name(), code: kernel.code(config, adapter, storage) })
                .collect(),
            work: self.work.iter().map(|&bytes| bytes.max(16)).collect(),
            output: self.output,
            output_bytes: 4 * self.output_values,
            steps: steps.collect(),
        }
    }
}

impl Source {
    /// Whether it has scales beside its weights.
    pub fn is_matrix(&self) -> bool {
        matches!(self, Self::Matrix { .. } | Self::Convolution { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_seven_dispatches() {
        let config = EncoderConfig::vit_b_32();
        let steps = plan(&config, 1, Adapter::Software).steps;
        // Patches, their product, embed, norm; the blocks; norm and projection.
        assert_eq!(steps.len(), 4 + 7 * config.layers + 2);
        let config = EncoderConfig::small();
        let steps = plan(&config, 1, Adapter::Hardware).steps;
        // Convolutions of two each, the patches' product, embed, norm; the blocks; mean, norm and projection.
        assert_eq!(steps.len(), 2 * config.stem.len() + 3 + 7 * config.layers + 3);
    }

    #[test]
    fn every_tensor_is_asked_for_once() {
        for config in [EncoderConfig::small(), EncoderConfig::vit_b_16()] {
            let mut names = Vec::new();
            for source in plan(&config, 1, Adapter::Hardware).sources {
                let with = |name: &String, bias: bool| {
                    let weight = [format!("{name}.weight")];
                    weight.into_iter().chain(bias.then(|| format!("{name}.bias"))).collect::<Vec<_>>()
                };
                match source {
                    Source::Matrix { names: parts, bias, .. } => {
                        names.extend(parts.iter().flat_map(|name| with(name, bias)))
                    }
                    Source::Convolution { name, bias, .. } => names.extend(with(&name, bias)),
                    Source::Norm { name, .. } => names.extend(with(&name, true)),
                    Source::Plain { name, .. } => names.push(name),
                    Source::Nothing => {}
                }
            }
            let mut expected: Vec<String> = config.tensors().into_iter().map(|(name, _)| name).collect();
            names.sort();
            expected.sort();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn the_last_block_works_on_the_class_token_alone() {
        let config = EncoderConfig::vit_b_32();
        let steps = plan(&config, 3, Adapter::Software).steps;
        let products: Vec<u32> =
            steps.iter().filter(|step| step.kernel == Kernel::Product).map(|step| step.size[0]).collect();
        // Output, MLP and projection of three pictures; queries, keys and values of all tokens.
        assert_eq!(products[products.len() - 5..], [150, 3, 3, 3, 3]);
    }

    #[test]
    fn no_step_binds_a_buffer_to_read_and_to_write_but_to_add_to_it() {
        for (config, adapter) in
            [(EncoderConfig::small(), Adapter::Software), (EncoderConfig::vit_b_32(), Adapter::Hardware)]
        {
            for step in plan(&config, 2, adapter).steps {
                let (written, read) = step.buffers.split_last().unwrap();
                assert!(!read.contains(written), "{step:?}");
            }
        }
    }

    #[test]
    fn a_pass_whose_tokens_are_read_is_the_same_pass() {
        let config = EncoderConfig::small();
        let plain = plan(&config, 2, Adapter::Software);
        let tokens = plain.clone().with_tokens(&config);
        assert!(tokens.reads_tokens() && !plain.reads_tokens());
        assert_eq!((&tokens.steps, &tokens.work, &tokens.sources), (&plain.steps, &plain.work, &plain.sources));
        let bytes = |plan: &Plan| {
            let plain = plan.plain(&config, Adapter::Software, Storage::F32);
            (plain.output_bytes, plain.work[plain.output])
        };
        assert_eq!(bytes(&plain), (4 * 2 * 384, 4 * 2 * 384));
        assert_eq!(bytes(&tokens), (4 * 2 * 36 * 192, 4 * 2 * 36 * 192));
        // Nothing writes to the tokens after the last block.
        let last = tokens.steps.iter().rposition(|step| step.buffers.last() == Some(&Buffer::Work(HIDDEN)));
        assert_eq!(last, Some(tokens.steps.len() - 4));
    }

    #[test]
    fn odd_sizes_are_refused_by_name() {
        let config = EncoderConfig { width: 66, heads: 3, ..EncoderConfig::vit_b_32() };
        assert!(unsupported(&config).unwrap().contains("width of a head is 22"));
        assert_eq!(unsupported(&EncoderConfig::small()), None);
        assert_eq!(unsupported(&EncoderConfig::vit_b_16()), None);
    }
}
