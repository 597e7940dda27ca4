//! A picture from JavaScript: its bytes, or an object that reads them part by part, so that a large photo is never here whole.

use std::cell::RefCell;
use std::fmt;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::{JsResult, thrown};
use crate::preprocess::{Picture, ReadPixels};

#[wasm_bindgen]
extern "C" {
    /// Reads parts of a picture.
    pub type PixelParts;

    /// RGBA `[height, width, 4]` of a part.
    #[wasm_bindgen(method, catch)]
    fn read(this: &PixelParts, left: u32, top: u32, width: u32, height: u32) -> Result<Uint8Array, JsValue>;
}

/// A picture as it was given.
pub struct Given {
    pixels: Pixels,
    width: usize,
    height: usize,
}

enum Pixels {
    Here(Vec<u8>),
    Elsewhere(Parts),
}

struct Parts {
    parts: PixelParts,
    /// What was thrown while it was read.
    failure: RefCell<Option<JsValue>>,
}

impl Given {
    /// From a `Uint8Array`, or an object with `read(left, top, width, height)`.
    pub fn new(pixels: JsValue, width: usize, height: usize) -> Self {
        let pixels = match pixels.dyn_into::<Uint8Array>() {
            Ok(bytes) => Pixels::Here(bytes.to_vec()),
            Err(parts) => Pixels::Elsewhere(Parts { parts: parts.unchecked_into(), failure: RefCell::new(None) }),
        };
        Self { pixels, width, height }
    }

    pub fn picture(&self) -> JsResult<Picture<'_>> {
        let picture = match &self.pixels {
            Pixels::Here(rgba) => Picture::new(rgba, self.width, self.height),
            Pixels::Elsewhere(parts) => Picture::elsewhere(parts, self.width, self.height),
        };
        picture.map_err(thrown)
    }

    /// An answer from it, unless a part could not be read: the answer is no picture's then.
    pub fn answered<T>(self, answer: T) -> JsResult<T> {
        match self.pixels {
            Pixels::Elsewhere(Parts { failure, .. }) => match failure.into_inner() {
                Some(failure) => Err(failure),
                None => Ok(answer),
            },
            Pixels::Here(_) => Ok(answer),
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, output: &mut fmt::Formatter) -> fmt::Result {
        output.write_str("Parts")
    }
}

impl ReadPixels for Parts {
    fn read(&self, left: usize, top: usize, width: usize, height: usize, rgba: &mut Vec<u8>) {
        rgba.clear();
        rgba.resize(width * height * 4, 0);
        let [left, top, width, height] = [left, top, width, height].map(|value| value as u32);
        let failure = match self.parts.read(left, top, width, height) {
            Ok(bytes) if bytes.length() as usize == rgba.len() => return bytes.copy_to(rgba),
            Ok(_) => JsError::new("a part of the picture has another size than was asked for").into(),
            Err(thrown) => thrown,
        };
        self.failure.borrow_mut().get_or_insert(failure);
    }
}
