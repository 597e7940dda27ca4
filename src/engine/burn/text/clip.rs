//! CLIP's text tower: token ids -> a vector of the joint space, as tools need it at build time.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use super::clip_tokens::ClipTokenizer;
use crate::config::{ClipTextConfig, LAYER_NORM_EPSILON};
use crate::engine::burn::nn::{Block, LayerNorm, Linear, load_linear, load_norm, load_param};
use crate::engine::burn::ops::EncoderOps;
use crate::error::{Error, ErrorKind, Result};
use crate::model::learned::is_word;
use crate::tensors::Weights;

/// Texts that go through the tower at once.
const BATCH: usize = 16;

/// The text tower of one configuration.
#[derive(Module, Debug)]
pub struct ClipTextEncoder<B: Backend> {
    tokens: Param<Tensor<B, 2>>,
    positions: Param<Tensor<B, 2>>,
    blocks: Vec<Block<B>>,
    final_norm: LayerNorm<B>,
    projection: Linear<B>,
    #[module(skip)]
    config: ClipTextConfig,
}

impl<B: EncoderOps> ClipTextEncoder<B> {
    /// From named tensors, which it takes out of `weights` ([`ClipTextConfig::tensors`] lists them).
    pub fn load(weights: &mut Weights, config: &ClipTextConfig, device: &B::Device) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let table = |part: &str| format!("text_model.embeddings.{part}_embedding.weight");
        Ok(Self {
            tokens: load_param(weights, &table("token"), [config.vocabulary, width], device)?,
            positions: load_param(weights, &table("position"), [config.context, width], device)?,
            blocks: (0..config.layers)
                .map(|layer| {
                    let name = format!("text_model.encoder.layers.{layer}");
                    Block::load(weights, &name, width, config.heads, config.activation, device)
                })
                .collect::<Result<_>>()?,
            final_norm: load_norm(
                weights,
                "text_model.final_layer_norm",
                width,
                f64::from(LAYER_NORM_EPSILON),
                device,
            )?,
            projection: load_linear(
                weights,
                &["text_projection".into()],
                [width, config.embedding],
                false,
                None,
                device,
            )?,
            config: config.clone(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// The embeddings of the vocabulary, `[vocabulary, width]`.
    pub fn token_table(&self) -> Tensor<B, 2> {
        self.tokens.val()
    }

    /// Where a text ends: the first place of its largest id, which is the end-of-text token's. Configurations name
    /// another one (`eos_token_id: 2`) and are not to be trusted.
    pub fn end(ids: &[u32]) -> usize {
        let largest = ids.iter().max();
        ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
    }

    /// # Shapes
    /// - ids: one row a text, each from start of text to at least its end; what follows the end has no influence
    /// - output: `[texts, embedding]`, of any length
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for no texts, an empty one, one longer than the context, and an id that is none.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<Tensor<B, 2>> {
        let ends: Vec<usize> = ids.iter().map(|row| Self::end(row)).collect();
        // No token sees a later one, so what lies past the last end is not worth computing.
        let length = ends.iter().max().map_or(0, |&end| end + 1);
        for row in ids {
            if row.is_empty() || Self::end(row) >= self.config.context {
                return Err(invalid(format!(
                    "a text has {} tokens; 1 to {} can be encoded",
                    row.len(),
                    self.config.context
                )));
            }
            if let Some(id) = row.iter().find(|&&id| id as usize >= self.config.vocabulary) {
                return Err(invalid(format!("token {id} is none of the tower's {}", self.config.vocabulary)));
            }
        }
        if ids.is_empty() {
            return Err(invalid("there is no text to encode".into()));
        }
        let device = self.tokens.val().device();
        let at = |row: &Vec<u32>, place: usize| row.get(place).copied().unwrap_or(0) as i32;
        let flat: Vec<i32> = ids.iter().flat_map(|row| (0..length).map(move |place| at(row, place))).collect();
        let count = flat.len();
        let flat = Tensor::<B, 1, Int>::from_data(TensorData::new(flat, [count]), &device);
        let words = self.tokens.val().select(0, flat).reshape([ids.len(), length, self.config.width]);
        self.forward_embedded(words, &ends)
    }

    /// The same from token embeddings, which may be learned ones that stand for no word.
    ///
    /// # Shapes
    /// - words: `[texts, tokens, width]`, without positions
    /// - ends: the place of each text's end
    /// - output: `[texts, embedding]`, of any length
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for more tokens than the context, and for ends outside them.
    pub fn forward_embedded(&self, words: Tensor<B, 3>, ends: &[usize]) -> Result<Tensor<B, 2>> {
        let [batch, length, width] = words.dims();
        if length == 0 || length > self.config.context || ends.len() != batch || ends.iter().any(|&end| end >= length) {
            return Err(invalid(format!(
                "{batch} texts of {length} tokens with {} ends can't be encoded; {} tokens are the most",
                ends.len(),
                self.config.context
            )));
        }
        let device = words.device();
        let mut hidden = words + self.positions.val().narrow(0, 0, length).unsqueeze_dim(0);
        // Any logit this low vanishes in the softmax, as minus infinity would.
        let mask: Vec<f32> =
            (0..length * length).map(|index| if index % length > index / length { -1e9 } else { 0.0 }).collect();
        let mask = Tensor::<B, 4>::from_data(TensorData::new(mask, [1, 1, length, length]), &device);
        for block in &self.blocks {
            hidden = block.forward_biased(hidden, mask.clone());
        }
        let places: Vec<i32> = ends.iter().enumerate().map(|(row, &end)| (row * length + end) as i32).collect();
        let places = Tensor::<B, 1, Int>::from_data(TensorData::new(places, [batch]), &device);
        let pooled = hidden.reshape([batch * length, width]).select(0, places);
        Ok(self.projection.forward(self.final_norm.forward(pooled)))
    }
}

/// The text tower with its tokenizer: texts in, vectors of the joint space out.
#[derive(Debug)]
pub struct ClipTexts<B: Backend> {
    encoder: ClipTextEncoder<B>,
    tokenizer: ClipTokenizer,
}

impl<B: EncoderOps> ClipTexts<B> {
    /// Puts the two together.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] when the tower has fewer tokens than the tokenizer.
    pub fn new(encoder: ClipTextEncoder<B>, tokenizer: ClipTokenizer) -> Result<Self> {
        let (tower, tokens) = (encoder.config().vocabulary, tokenizer.vocabulary());
        if tower != tokens {
            return Err(invalid(format!(
                "the text tower has {tower} tokens and CLIP's vocabulary {tokens}; the checkpoint was trained with \
                 another tokenizer, which this cliper does not have"
            )));
        }
        Ok(Self { encoder, tokenizer })
    }

    /// The text tower.
    pub fn encoder(&self) -> &ClipTextEncoder<B> {
        &self.encoder
    }

    /// The token ids of a text, start and end included.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a text of more tokens than the tower's context.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode(text)?;
        let most = self.encoder.config().context;
        if ids.len() > most {
            return Err(invalid(format!("\"{text}\" has {} tokens; {most} are the most, shorten it", ids.len())));
        }
        Ok(ids)
    }

    /// What an id stands for, where that is a word or a piece of one: no mark, no broken letter.
    pub fn word(&self, id: u32) -> Option<String> {
        self.tokenizer.piece(id).filter(|piece| is_word(piece) && !(piece.starts_with("<|") && piece.ends_with("|>")))
    }

    /// Vectors `[texts, embedding]` as projected, of any length.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<f32>> {
        let ids = texts.iter().map(|text| self.tokens(text)).collect::<Result<Vec<_>>>()?;
        let mut embeddings = Vec::new();
        for ids in ids.chunks(BATCH) {
            let data = self.encoder.forward(ids)?.into_data().convert::<f32>();
            embeddings.extend(
                data.to_vec::<f32>()
                    .map_err(|error| invalid(format!("the embeddings can't be read back ({error:?})")))?,
            );
        }
        Ok(embeddings)
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidText, why)
}
