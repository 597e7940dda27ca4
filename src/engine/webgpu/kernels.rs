//! The WGSL of a configuration.

use crate::config::{Activation, EncoderConfig, LAYER_NORM_EPSILON};

/// What kind of adapter runs the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// A GPU: reads are shared through workgroup memory.
    Hardware,
    /// A CPU that passes for one: barriers and workgroup memory cost it more than they save.
    Software,
}

/// How matrices are stored on the device. Values are computed with in f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Four bytes a value.
    F32,
    /// Two bytes a value.
    F16,
    /// One byte a value and a scale an output.
    Int8,
}

impl Storage {
    /// Bytes of four values.
    pub fn bytes_of_four(self) -> usize {
        match self {
            Self::F32 => 16,
            Self::F16 => 8,
            Self::Int8 => 4,
        }
    }
}

/// One compute pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernel {
    /// Squares of a map as rows.
    Gather,
    /// Rows times a matrix.
    Product,
    /// Class token, patches and positions.
    Embed,
    /// Layer norm.
    Norm,
    /// Self-attention.
    Attention,
    /// Mean of the tokens.
    Mean,
}

/// Invocations of a workgroup of the elementwise kernels.
pub const ELEMENTWISE: usize = 64;
/// Invocations of a workgroup where each has a tile of its own.
pub const TILES: usize = 16;
/// Side of a tile of the shared product.
pub const SHARED_TILE: usize = 32;

impl Kernel {
    /// Its name, for tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::Product => "product",
            Self::Embed => "embed",
            Self::Norm => "norm",
            Self::Attention => "attention",
            Self::Mean => "mean",
        }
    }

    /// Its WGSL.
    pub fn code(self, config: &EncoderConfig, adapter: Adapter, storage: Storage) -> String {
        let shared = adapter == Adapter::Hardware;
        let parts = match self {
            Self::Product => vec![
                packed(storage),
                activation(config),
                include_str!("shaders/finish.wgsl"),
                if shared { include_str!("shaders/product_tiled.wgsl") } else { include_str!("shaders/product.wgsl") },
            ],
            Self::Gather => vec![include_str!("shaders/gather.wgsl")],
            Self::Embed => vec![include_str!("shaders/embed.wgsl")],
            Self::Norm => vec![
                if shared {
                    include_str!("shaders/total_shared.wgsl")
                } else {
                    include_str!("shaders/total_alone.wgsl")
                },
                include_str!("shaders/norm.wgsl"),
            ],
            Self::Attention if shared => vec![include_str!("shaders/attention_shared.wgsl")],
            Self::Attention => vec![include_str!("shaders/attention.wgsl")],
            Self::Mean => vec![include_str!("shaders/mean.wgsl")],
        };
        let constants = match self {
            Self::Norm => format!("const EPSILON = {LAYER_NORM_EPSILON:e}f;\n"),
            Self::Attention => {
                let head = config.width / config.heads;
                format!(
                    "const TOKENS = {}u;\nconst HEAD4 = {}u;\nconst SCALE = {:e}f;\n",
                    config.tokens(),
                    head / 4,
                    (head as f32).powf(-0.5)
                )
            }
            _ => String::new(),
        };
        constants + &parts.concat()
    }
}

/// The stored form of four values of a matrix, and what it stands for.
fn packed(storage: Storage) -> &'static str {
    match storage {
        Storage::F32 => "alias Packed = vec4f;\nfn unpacked(four: Packed) -> vec4f { return four; }\n",
        Storage::F16 => {
            "alias Packed = vec2u;\n\
             fn unpacked(four: Packed) -> vec4f { return vec4f(unpack2x16float(four.x), unpack2x16float(four.y)); }\n"
        }
        Storage::Int8 => "alias Packed = u32;\nfn unpacked(four: Packed) -> vec4f { return unpack4x8snorm(four); }\n",
    }
}

fn activation(config: &EncoderConfig) -> &'static str {
    match config.activation {
        Activation::Relu => "fn activate(x: vec4f) -> vec4f { return max(x, vec4f()); }\n",
        Activation::QuickGelu => "fn activate(x: vec4f) -> vec4f { return x / (1.0 + exp(-1.702 * x)); }\n",
        Activation::GeluTanh => {
            "fn activate(x: vec4f) -> vec4f { return x / (1.0 + exp(-1.5957692 * (x + 0.044715 * x * x * x))); }\n"
        }
        // Abramowitz and Stegun 7.1.26: error at most 1.5e-7.
        Activation::Gelu => {
            "fn activate(x: vec4f) -> vec4f {\n\
             \x20 let magnitude = abs(x) * 0.70710678;\n\
             \x20 let t = 1.0 / (1.0 + 0.3275911 * magnitude);\n\
             \x20 let sum = ((((1.0614054 * t - 1.4531521) * t + 1.4214138) * t - 0.28449672) * t + 0.2548296) * t;\n\
             \x20 return 0.5 * x * (1.0 + sign(x) * (1.0 - sum * exp(-magnitude * magnitude)));\n\
             }\n"
        }
    }
}
