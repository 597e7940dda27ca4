//! The prompt around learned tokens, and what METD asks of a text tower.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::engine::burn::ops::EncoderOps;
use crate::engine::burn::text::ClipTextEncoder;
use crate::engine::burn::text::TextEncoder;
use crate::error::{Error, ErrorKind, Result};

/// CLIPER's prompt; `{}` is the place of the learned tokens.
pub const PROMPT: &str = "an ID photo of {}.";
/// What stands in their place while the prompt is cut into tokens.
const PLACEHOLDER: &str = "X";

/// A text tower that takes token embeddings, which may be learned ones that stand for no word.
pub trait TextTower<B: Backend> {
    /// The same tower with parameters that take no part in a gradient.
    fn frozen(&self) -> Box<dyn TextTower<B>>;

    /// The embeddings of its vocabulary, `[vocabulary, width]`.
    fn token_table(&self) -> Tensor<B, 2>;

    /// Encodes texts of one length, each ended by its last token.
    ///
    /// # Shapes
    /// - words: `[texts, tokens, width]`, without positions
    /// - output: `[texts, embedding]`, of any length
    fn encode_words(&self, words: Tensor<B, 3>) -> Result<Tensor<B, 2>>;
}

impl<B: EncoderOps> TextTower<B> for ClipTextEncoder<B> {
    fn frozen(&self) -> Box<dyn TextTower<B>> {
        Box::new(self.clone().no_grad())
    }

    fn token_table(&self) -> Tensor<B, 2> {
        ClipTextEncoder::token_table(self)
    }

    fn encode_words(&self, words: Tensor<B, 3>) -> Result<Tensor<B, 2>> {
        let [texts, length, _] = words.dims();
        self.forward_embedded(words, &vec![length.saturating_sub(1); texts])
    }
}

impl<B: EncoderOps> TextTower<B> for TextEncoder<B> {
    fn frozen(&self) -> Box<dyn TextTower<B>> {
        Box::new(self.clone().no_grad())
    }

    fn token_table(&self) -> Tensor<B, 2> {
        TextEncoder::token_table(self)
    }

    fn encode_words(&self, words: Tensor<B, 3>) -> Result<Tensor<B, 2>> {
        let [texts, length, _] = words.dims();
        let mask = Tensor::ones([texts, length], &words.device());
        self.forward_embedded(words, mask)
    }
}

/// Token ids of a prompt, and which of them are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    ids: Vec<u32>,
    first: usize,
    learned: usize,
}

impl Prompt {
    /// From the ids of a whole text, marks included; what stands in the learned places does not matter.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] when the learned places are none, or not within the text.
    pub fn new(ids: Vec<u32>, first: usize, learned: usize) -> Result<Self> {
        if learned == 0 || first + learned > ids.len() {
            return Err(invalid(format!(
                "{learned} learned tokens from place {first} do not fit a prompt of {} tokens",
                ids.len()
            )));
        }
        Ok(Self { ids, first, learned })
    }

    /// From a sentence with `{}` in the place of the learned tokens.
    ///
    /// - encode: a text's ids, marks included
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for a sentence without exactly one `{}`, for one whose own words look like the
    /// placeholder `X`, and what `encode` says of a text that is too long.
    pub fn tokenize(sentence: &str, learned: usize, encode: impl Fn(&str) -> Result<Vec<u32>>) -> Result<Self> {
        if sentence.matches("{}").count() != 1 || learned == 0 {
            return Err(invalid(format!(
                "the prompt \"{sentence}\" with {learned} learned tokens must hold {{}} once, and learn one token or more"
            )));
        }
        let of = |count: usize| encode(&sentence.replace("{}", &vec![PLACEHOLDER; count].join(" ")));
        // One placeholder more shows where they stand, whatever the tokenizer makes of them.
        let (ids, longer) = (of(learned)?, of(learned + 1)?);
        let placeholder = encode(PLACEHOLDER)?.get(1).copied().unwrap_or_default();
        let places: Vec<usize> = (0..ids.len()).filter(|&place| ids[place] == placeholder).collect();
        let together = places.windows(2).all(|pair| pair[1] == pair[0] + 1);
        if places.len() != learned || !together || longer.len() != ids.len() + 1 {
            return Err(invalid(format!(
                "the prompt \"{sentence}\" does not keep its learned tokens apart from its words; put spaces around {{}} \
                 and no `{PLACEHOLDER}` elsewhere"
            )));
        }
        Self::new(ids, places[0], learned)
    }

    /// All ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The learned places.
    pub fn places(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.learned
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidText, why)
}
