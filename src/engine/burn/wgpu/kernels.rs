//! The WGSL of the operations.

use burn_wgpu::{CubeDim, KernelSource, SourceTemplate};
use cubecl::prelude::KernelId;

use crate::config::LAYER_NORM_EPSILON;
use crate::tensors::Precision;

/// What kind of adapter runs the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Adapter {
    /// A GPU: reads are shared through workgroup memory.
    Hardware,
    /// A CPU that passes for one: barriers and workgroup memory cost it more than they save.
    Software,
}

/// What a product does besides multiplying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProductForm {
    /// Bias and activation.
    Plain,
    /// A layer norm before it.
    Normed,
    /// A residual added to it, and notes for the norm that follows.
    Add,
}

/// One pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Rows times a matrix.
    Product(ProductForm, Precision),
    /// Self-attention: most tokens of a picture, and a head's width in fours.
    Attention(usize, usize),
    /// Squares of a map as rows.
    Gather,
    /// Tokens with their positions: with a class token, with a norm.
    Embed(bool, bool),
    /// Mean of each picture's tokens.
    Mean,
    /// As many rows of other tensors below one another.
    Stack(usize),
    /// The mean of frames, which lie in as many tensors, against rows.
    Cosines(usize),
}

/// Invocations of a workgroup of the elementwise kernels.
pub const ELEMENTWISE: usize = 64;
/// Invocations of a workgroup where each has a tile of its own.
pub const TILES: usize = 16;
/// Side of a tile of the shared product.
pub const SHARED_TILE: usize = 32;

/// A kernel in the form for one kind of adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(pub Kernel, pub Adapter);

impl Source {
    /// Invocations of a workgroup.
    pub fn workgroup(self) -> CubeDim {
        match (self.0, self.1) {
            (Kernel::Product(..), Adapter::Hardware) => CubeDim::new_2d(8, 8),
            (Kernel::Product(..) | Kernel::Attention(..), Adapter::Software) => CubeDim::new_1d(TILES as u32),
            _ => CubeDim::new_1d(ELEMENTWISE as u32),
        }
    }

    /// Its WGSL. The first line names it, for tools.
    pub fn code(self) -> String {
        format!("// {:?}\n{}", self.0, self.body())
    }

    fn body(self) -> String {
        let shared = self.1 == Adapter::Hardware;
        match self.0 {
            Kernel::Product(form, precision) => product(form, precision, shared),
            Kernel::Attention(tokens, head4) => {
                let scale = ((4 * head4) as f32).powf(-0.5);
                let constants =
                    format!("const MOST_TOKENS = {tokens}u;\nconst HEAD4 = {head4}u;\nconst SCALE = {scale:e}f;\n");
                let body = if shared {
                    include_str!("shaders/attention_shared.wgsl")
                } else {
                    include_str!("shaders/attention.wgsl")
                };
                constants + &bindings(&["joint: array<vec4f>"], &["output: array<vec4f>"]) + body
            }
            Kernel::Gather => {
                bindings(&["input: array<f32>"], &["output: array<vec4f>"]) + include_str!("shaders/gather.wgsl")
            }
            Kernel::Embed(class, norm) => embed(class, norm, shared),
            Kernel::Mean => {
                bindings(&["input: array<vec4f>"], &["output: array<vec4f>", "sums: array<vec2f>"])
                    + include_str!("shaders/mean.wgsl")
            }
            Kernel::Stack(count) => stack(count),
            Kernel::Cosines(count) => cosines(count),
        }
    }
}

impl KernelSource for Source {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.code())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(*self)
    }
}

/// The declarations of what a kernel reads and writes, in this order, and its sizes behind them.
fn bindings(reads: &[impl AsRef<str>], writes: &[&str]) -> String {
    let reads_named = reads.iter().map(|name| ("read", name.as_ref()));
    let access = reads_named.chain(writes.iter().map(|&name| ("read_write", name)));
    let declare = |(binding, (access, name))| format!("@group(0) @binding({binding}) var<storage, {access}> {name};\n");
    let storage: String = access.enumerate().map(declare).collect();
    storage + &format!("@group(0) @binding({}) var<uniform> size: Size;\n", reads.len() + writes.len())
}

fn product(form: ProductForm, precision: Precision, shared: bool) -> String {
    let packed = match precision {
        Precision::F32 => "array<vec4f>",
        Precision::F16 => "array<vec2u>",
        Precision::Int8 => "array<u32>",
    };
    let weights = format!("weights: {packed}");
    let mut reads = vec!["input: array<vec4f>", &weights, "scales: array<vec4f>"];
    let mut writes = vec!["output: array<vec4f>"];
    let mut parts = Vec::new();
    // A matrix in f32 holds the norm's scale itself; in others it would lose by that.
    let is_scaled = form == ProductForm::Normed && precision != Precision::F32;
    match form {
        ProductForm::Plain => {
            parts.extend([include_str!("shaders/activate.wgsl"), include_str!("shaders/finish_plain.wgsl")])
        }
        ProductForm::Normed => {
            reads.push("sums: array<vec2f>");
            parts.extend([include_str!("shaders/activate.wgsl"), include_str!("shaders/finish_normed.wgsl")]);
        }
        ProductForm::Add => {
            reads.push("residual: array<vec4f>");
            writes.push("sums: array<vec2f>");
            parts.push(include_str!("shaders/finish_add.wgsl"));
        }
    }
    parts.push(if is_scaled {
        reads.push("norm_scale: array<vec4f>");
        "fn scaled(x: vec4f, column4: u32) -> vec4f { return x * norm_scale[column4]; }\n"
    } else {
        "fn scaled(x: vec4f, column4: u32) -> vec4f { return x; }\n"
    });
    parts.push(match precision {
        Precision::F32 => "fn unpacked(at: u32) -> vec4f { return weights[at]; }\n",
        Precision::F16 => {
            "fn unpacked(at: u32) -> vec4f {\n\
             \x20 let four = weights[at];\n\
             \x20 return vec4f(unpack2x16float(four.x), unpack2x16float(four.y));\n\
             }\n"
        }
        Precision::Int8 => "fn unpacked(at: u32) -> vec4f { return unpack4x8snorm(weights[at]); }\n",
    });
    parts.push(match (shared, form) {
        (false, ProductForm::Add) => include_str!("shaders/note.wgsl"),
        (true, ProductForm::Add) => include_str!("shaders/note_shared.wgsl"),
        (false, _) => "fn note(row: u32, panel: u32, left: vec4f, right: vec4f) {}\n",
        (true, _) => {
            "fn note(tile: vec2u, id: vec2u, line: u32, value: vec4f) {}\nfn store_notes(tile: vec2u, index: u32) {}\n"
        }
    });
    parts.push(if shared { include_str!("shaders/product_tiled.wgsl") } else { include_str!("shaders/product.wgsl") });
    let constants = format!("const EPSILON = {LAYER_NORM_EPSILON:e}f;\n");
    [include_str!("shaders/product_size.wgsl"), &constants, &bindings(&reads, &writes)].concat() + &parts.concat()
}

fn embed(class: bool, norm: bool, shared: bool) -> String {
    let mut reads = vec!["tokens: array<vec4f>", "positions: array<vec4f>"];
    let mut parts = Vec::new();
    parts.push(if class {
        reads.push("class_embedding: array<vec4f>");
        "fn class_value(column: u32) -> vec4f { return class_embedding[column]; }\nconst CLASS_TOKENS = 1u;\n"
    } else {
        "fn class_value(column: u32) -> vec4f { return vec4f(); }\nconst CLASS_TOKENS = 0u;\n"
    });
    parts.push(if norm {
        reads.extend(["norm_scale: array<vec4f>", "norm_shift: array<vec4f>"]);
        "const NORMS = true;\n\
         fn normed(x: vec4f, column: u32) -> vec4f { return x * norm_scale[column] + norm_shift[column]; }\n"
    } else {
        "const NORMS = false;\nfn normed(x: vec4f, column: u32) -> vec4f { return x; }\n"
    });
    parts.push(if shared {
        include_str!("shaders/total_shared.wgsl")
    } else {
        include_str!("shaders/total_alone.wgsl")
    });
    parts.push(include_str!("shaders/embed.wgsl"));
    let constants = format!("const EPSILON = {LAYER_NORM_EPSILON:e}f;\n");
    constants + &bindings(&reads, &["output: array<vec4f>", "notes: array<vec2f>"]) + &parts.concat()
}

fn stack(count: usize) -> String {
    let (reads, row_value) = many_rows(count);
    bindings(&reads, &["output: array<vec4f>"]) + include_str!("shaders/stack.wgsl") + &row_value
}

fn cosines(count: usize) -> String {
    let (mut reads, row_value) = many_rows(count);
    reads.push("rows: array<vec4f>".into());
    let constants = format!("const TENSORS = {count}u;\n");
    constants + &bindings(&reads, &["output: array<f32>"]) + include_str!("shaders/cosines.wgsl") + &row_value
}

/// Bindings of as many tensors, and the function that reads one of them.
fn many_rows(count: usize) -> (Vec<String>, String) {
    let case = |index| format!("    case {index}u: {{ value = row{index}[at]; }}\n");
    let cases: String = (0..count).map(case).collect();
    let row_value = format!(
        "fn row_value(row: u32, at: u32) -> vec4f {{\n  var value: vec4f;\n  switch row {{\n{cases}    default: {{ value = \
         row0[at]; }}\n  }}\n  return value;\n}}\n"
    );
    ((0..count).map(|index| format!("row{index}: array<vec4f>")).collect(), row_value)
}
