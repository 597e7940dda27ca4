//! The sentence encoder that descriptor texts go through at build time: BERT as all-MiniLM-L6-v2 uses it.
//!
//! Only tools carry it (feature `text`); a bundle holds the embeddings it made.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData, activation, backend::Backend};

use crate::engine::burn::nn::{Attention, AttentionShape, LayerNorm, Linear, load_linear, load_norm, load_param};
use crate::engine::burn::ops::EncoderOps;
use crate::engine::tokens::{TextConfig, TextTokenizer};
use crate::error::{Error, ErrorKind, Result};
use crate::tensors::{Weights, sha256};

/// A post-norm block: the norms follow the sums.
#[derive(Module, Debug)]
struct TextBlock<B: Backend> {
    attention: Attention<B>,
    attention_norm: LayerNorm<B>,
    first: Linear<B>,
    second: Linear<B>,
    output_norm: LayerNorm<B>,
}

/// BERT without its pooler: token ids to one unit vector a text.
#[derive(Module, Debug)]
pub struct TextEncoder<B: Backend> {
    words: Param<Tensor<B, 2>>,
    positions: Param<Tensor<B, 2>>,
    types: Param<Tensor<B, 2>>,
    norm: LayerNorm<B>,
    blocks: Vec<TextBlock<B>>,
}

impl<B: EncoderOps> TextEncoder<B> {
    /// From the tensors of Hugging Face's `BertModel`; the pooler and `position_ids` are left where they are.
    pub fn load(weights: &mut Weights, config: &TextConfig, device: &B::Device) -> Result<Self> {
        let (width, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let shape = AttentionShape::even(width, config.num_attention_heads);
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| {
                let name = |part: &str| format!("encoder.layer.{layer}.{part}");
                let attention =
                    ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
                        .map(name);
                let hidden = config.intermediate_size;
                Ok(TextBlock {
                    attention: Attention::load(weights, &attention, &shape, None, device)?,
                    attention_norm: load_norm(weights, &name("attention.output.LayerNorm"), width, epsilon, device)?,
                    first: load_linear(weights, &[name("intermediate.dense")], [width, hidden], true, None, device)?,
                    second: load_linear(weights, &[name("output.dense")], [hidden, width], true, None, device)?,
                    output_norm: load_norm(weights, &name("output.LayerNorm"), width, epsilon, device)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            words: load_param(weights, "embeddings.word_embeddings.weight", [config.vocab_size, width], device)?,
            positions: load_param(
                weights,
                "embeddings.position_embeddings.weight",
                [config.max_position_embeddings, width],
                device,
            )?,
            types: load_param(weights, "embeddings.token_type_embeddings.weight", [2, width], device)?,
            norm: load_norm(weights, "embeddings.LayerNorm", width, epsilon, device)?,
            blocks,
        })
    }

    /// Mean over a text's tokens, then unit length.
    ///
    /// # Shapes
    /// - ids: `[batch, tokens]`
    /// - mask: `[batch, tokens]`, 1 for a token and 0 for padding
    /// - output: `[batch, width]`
    pub fn forward(&self, ids: Tensor<B, 2, Int>, mask: Tensor<B, 2>) -> Tensor<B, 2> {
        let [batch, tokens] = ids.dims();
        let [_, width] = self.words.dims();
        let words = self.words.val().select(0, ids.reshape([batch * tokens])).reshape([batch, tokens, width]);
        self.embed(words, mask)
    }

    /// The same from token embeddings, which may be learned ones that stand for no word.
    ///
    /// # Shapes
    /// - words: `[batch, tokens, width]`, without positions
    /// - mask, output: as above
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for more tokens than there are positions.
    pub fn forward_embedded(&self, words: Tensor<B, 3>, mask: Tensor<B, 2>) -> Result<Tensor<B, 2>> {
        let ([_, tokens, _], [most, _]) = (words.dims(), self.positions.dims());
        if tokens == 0 || tokens > most {
            return Err(Error::new(
                ErrorKind::InvalidText,
                format!("a text has {tokens} tokens; 1 to {most} can be encoded"),
            ));
        }
        Ok(self.embed(words, mask))
    }

    /// The embeddings of the vocabulary, `[vocabulary, width]`.
    pub fn token_table(&self) -> Tensor<B, 2> {
        self.words.val()
    }

    fn embed(&self, words: Tensor<B, 3>, mask: Tensor<B, 2>) -> Tensor<B, 2> {
        let [batch, tokens, width] = words.dims();
        let places = self.positions.val().narrow(0, 0, tokens) + self.types.val().narrow(0, 0, 1);
        let mut hidden = self.norm.forward(words + places.unsqueeze_dim(0));
        // Hugging Face adds the most negative number of f32; any logit this low vanishes in the softmax.
        let bias = (mask.clone() - 1.0).mul_scalar(1e9).reshape([batch, 1, 1, tokens]);
        for block in &self.blocks {
            let attended = block.attention.forward(hidden.clone(), Some(bias.clone()));
            hidden = block.attention_norm.forward(hidden + attended);
            let rows = hidden.clone().reshape([batch * tokens, width]);
            let wide = activation::gelu(block.first.forward(rows));
            hidden = block.output_norm.forward(hidden + block.second.forward(wide).reshape([batch, tokens, width]));
        }
        let mask = mask.reshape([batch, tokens, 1]);
        let mean = (hidden * mask.clone()).sum_dim(1) / mask.sum_dim(1);
        let mean = mean.reshape([batch, width]);
        let length = (mean.clone() * mean.clone()).sum_dim(1).sqrt();
        mean / length
    }
}

/// A text encoder with its tokenizer: texts in, unit vectors out.
#[derive(Debug)]
pub struct SentenceEncoder<B: Backend> {
    encoder: TextEncoder<B>,
    tokenizer: TextTokenizer,
    width: usize,
    identity: String,
    device: B::Device,
}

impl<B: EncoderOps> SentenceEncoder<B> {
    /// From the bytes of `config.json`, `tokenizer.json` and `model.safetensors`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a configuration or tokenizer that can't be read, [`ErrorKind::InvalidWeights`]
    /// for tensors that are missing or misshapen.
    pub fn load(config: &[u8], tokenizer: &[u8], weights: &[u8], device: &B::Device) -> Result<Self> {
        let config: TextConfig = serde_json::from_slice(config)
            .map_err(|error| Error::with_source(ErrorKind::InvalidText, "config.json is not one of BERT", error))?;
        let tokenizer = TextTokenizer::new(tokenizer, config.max_position_embeddings)?;
        let mut read = Weights::default();
        read.read_floats("model.safetensors", weights)?;
        Ok(Self {
            encoder: TextEncoder::load(&mut read, &config, device)?,
            tokenizer,
            width: config.hidden_size,
            identity: sha256(weights),
            device: device.clone(),
        })
    }

    /// SHA-256 of the weights: the joint space that the embeddings belong to.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Width of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Longest text, tokens.
    pub fn longest(&self) -> usize {
        self.tokenizer.longest()
    }

    /// The token ids of a text.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.tokens(text)
    }

    /// The text encoder.
    pub fn encoder(&self) -> &TextEncoder<B> {
        &self.encoder
    }

    /// What an id stands for, where that is a word or a piece of one: no mark, no unused place.
    pub fn word(&self, id: u32) -> Option<String> {
        self.tokenizer.word(id)
    }

    /// Unit vectors `[texts, width]`.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<f32>> {
        let ids = texts.iter().map(|text| self.tokens(text)).collect::<Result<Vec<_>>>()?;
        let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
        if longest == 0 {
            return Ok(Vec::new());
        }
        let shape = [ids.len(), longest];
        let at = |row: &Vec<u32>, place: usize| row.get(place).copied();
        let padded: Vec<i32> =
            ids.iter().flat_map(|row| (0..longest).map(move |place| at(row, place).unwrap_or(0) as i32)).collect();
        let mask: Vec<f32> =
            ids.iter().flat_map(|row| (0..longest).map(move |place| f32::from(place < row.len()))).collect();
        let embeddings = self.encoder.forward(
            Tensor::from_data(TensorData::new(padded, shape), &self.device),
            Tensor::from_data(TensorData::new(mask, shape), &self.device),
        );
        embeddings.into_data().convert::<f32>().to_vec().map_err(|error| {
            Error::new(ErrorKind::InvalidText, format!("the embeddings can't be read back ({error:?})"))
        })
    }
}
