//! CLIP's byte-pair tokenizer, built from the vocabulary file that OpenAI published and open_clip ships.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use crate::error::{Error, ErrorKind, Result};

/// Merges of the file that CLIP uses: 49,408 tokens less 2 x 256 bytes and 2 marks.
const MERGES: usize = 49_152 - 256 - 2;
/// Marks the last piece of a word.
const END_OF_WORD: &str = "</w>";
/// Stands before every text.
const START: &str = "<|startoftext|>";
/// Stands behind every text; the largest id.
const END: &str = "<|endoftext|>";
/// What a text is cut into before the merges.
const PIECES: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// CLIP's tokenizer: texts to ids.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
}

impl ClipTokenizer {
    /// From the bytes of `bpe_simple_vocab_16e6.txt.gz`, packed or not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidText`] for another file.
    pub fn new(vocabulary: &[u8]) -> Result<Self> {
        let broken = |why: &str| {
            Error::new(
                ErrorKind::InvalidText,
                format!("this is not CLIP's vocabulary, bpe_simple_vocab_16e6.txt.gz: {why}"),
            )
        };
        let mut text = String::new();
        if vocabulary.starts_with(&[0x1f, 0x8b]) {
            GzDecoder::new(vocabulary).read_to_string(&mut text).map_err(|error| broken(&error.to_string()))?;
        } else {
            text.push_str(std::str::from_utf8(vocabulary).map_err(|error| broken(&error.to_string()))?);
        }
        let merges: Vec<[&str; 2]> = text
            .lines()
            .skip(1)
            .take(MERGES)
            .map(|line| line.split_once(' ').map(|(first, second)| [first, second]))
            .collect::<Option<_>>()
            .ok_or_else(|| broken("a line is no pair of pieces"))?;
        if merges.len() != MERGES {
            return Err(broken(&format!("it has {} merges, {MERGES} were expected", merges.len())));
        }

        let letters = byte_letters();
        let pieces = letters
            .iter()
            .map(char::to_string)
            .chain(letters.iter().map(|letter| format!("{letter}{END_OF_WORD}")))
            .chain(merges.iter().map(|pair| pair.concat()))
            .chain([START.to_string(), END.to_string()]);
        let ids: Map<String, Value> = pieces.enumerate().map(|(id, piece)| (piece, id.into())).collect();
        let (start, end) = (ids[START].clone(), ids[END].clone());
        let mark = |content: &str, id: &Value| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true })
        };
        // The form of tokenizer.json: stable across versions of the crate, unlike its builders.
        let form = json!({
            "version": "1.0",
            "added_tokens": [mark(START, &start), mark(END, &end)],
            "normalizer": { "type": "Sequence", "normalizers": [
                { "type": "NFC" },
                { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
                { "type": "Lowercase" },
            ] },
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": PIECES }, "behavior": "Removed", "invert": true },
                { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            ] },
            "post_processor": { "type": "RobertaProcessing", "sep": [END, end], "cls": [START, start],
                                "trim_offsets": false, "add_prefix_space": false },
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": { "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
                       "end_of_word_suffix": END_OF_WORD, "fuse_unk": false, "byte_fallback": false,
                       "vocab": ids, "merges": merges },
        });
        let tokenizer = Tokenizer::from_bytes(form.to_string())
            .map_err(|error| Error::with_source(ErrorKind::InvalidText, "the tokenizer can't be built", error))?;
        Ok(Self { tokenizer })
    }

    /// Tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The ids of a text between the start and the end mark, however many.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, true).map_err(|error| {
            Error::with_source(ErrorKind::InvalidText, format!("\"{text}\" can't be tokenized"), error)
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The piece of text that an id stands for, without the mark of a word's end; none for no id.
    pub fn piece(&self, id: u32) -> Option<String> {
        let piece = self.tokenizer.id_to_token(id)?;
        let letters = byte_letters();
        let bytes: Option<Vec<u8>> = piece
            .trim_end_matches(END_OF_WORD)
            .chars()
            .map(|letter| letters.iter().position(|&other| other == letter).map(byte_at))
            .collect();
        Some(bytes.map_or(piece.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// The byte that stands at a place of CLIP's order: the printable ones of Latin-1 first, then the others.
fn byte_at(place: usize) -> u8 {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let order = (0..=255u8).filter(printable).chain((0..=255u8).filter(|byte| !printable(byte)));
    order.into_iter().nth(place).unwrap_or_default()
}

/// The letter that stands for each byte, in CLIP's order: itself where it is printable, else one past Latin-1.
fn byte_letters() -> Vec<char> {
    let mut spare = 256..;
    (0..256)
        .map(|place| {
            let byte = byte_at(place);
            match byte {
                b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
                _ => spare.next().and_then(char::from_u32).unwrap_or_default(),
            }
        })
        .collect()
}
