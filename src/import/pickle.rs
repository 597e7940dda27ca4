//! The part of Python's pickle language that state dicts of tensors are written in. Nothing is ever called: what is no
//! dict, list, text, number or tensor becomes a placeholder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind as Io, Read};

use safetensors::tensor::Dtype;

/// Longest text or list of arguments that is read: far above any name.
const LONGEST: u64 = 1 << 24;
/// Longest text that may be a name. Texts are referred to for two bytes, and copied for every tensor that they name.
const LONGEST_NAME: usize = 1024;
/// Most axes of a tensor: far above any model's.
const MOST_AXES: usize = 16;
/// Most entries that calls may copy out of lists, which are referred to for two bytes: far above any state dict's.
const MOST_COPIED: usize = 1 << 20;

/// An object's place among all that were made; containers are filled after they were referred to.
type Id = usize;

/// What a pickle builds.
#[derive(Debug, Clone)]
pub(super) enum Object {
    /// None, and numbers and bytes that describe no tensor.
    Nothing,
    Number(i64),
    /// A number of more than eight bytes, as they lie.
    Long(Vec<u8>),
    Text(String),
    /// A class or function, by its full name.
    Global(String),
    /// Tuples, lists and sets.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Storage(Storage),
    Tensor(Tensor),
    /// An object of a class whose code would be needed.
    Instance(String),
}

/// A run of values that tensors look into.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) dtype: Dtype,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// All objects of one pickle.
#[derive(Debug, Default)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    /// The object that the pickle is.
    pub(super) root: Id,
    /// Every storage that was named, by its key.
    pub(super) storages: BTreeMap<String, Storage>,
}

impl Pickle {
    pub(super) fn get(&self, id: Id) -> &Object {
        self.objects.get(id).unwrap_or(&Object::Nothing)
    }

    /// Every dict in a dict, by its name.
    pub(super) fn dicts(&self, dict: Id) -> Vec<(&str, Id)> {
        let Object::Dict(entries) = self.get(dict) else { return Vec::new() };
        let pair = |&(key, value): &(Id, Id)| match (self.get(key), self.get(value)) {
            (Object::Text(name), Object::Dict(_)) => Some((name.as_str(), value)),
            _ => None,
        };
        by_name(entries.iter().filter_map(pair))
    }

    /// A list of texts.
    pub(super) fn texts(&self, list: Id) -> Vec<&str> {
        let Object::List(items) = self.get(list) else { return Vec::new() };
        let text = |&id: &Id| match self.get(id) {
            Object::Text(text) => Some(text.as_str()),
            _ => None,
        };
        items.iter().filter_map(text).collect()
    }

    /// Every tensor of a dict by its name.
    pub(super) fn tensors(&self, dict: Id) -> Vec<(&str, &Tensor)> {
        let Object::Dict(entries) = self.get(dict) else { return Vec::new() };
        let pair = |&(key, value): &(Id, Id)| match (self.get(key), self.get(value)) {
            (Object::Text(name), Object::Tensor(tensor)) => Some((name.as_str(), tensor)),
            _ => None,
        };
        by_name(entries.iter().filter_map(pair))
    }
}

/// Why a pickle can't be read.
pub(super) type Broken = String;

/// Reads one pickle and stops behind it.
pub(super) fn read(input: &mut impl Read) -> Result<Pickle, Broken> {
    let mut machine =
        Machine { input, pickle: Pickle::default(), stack: vec![], marks: vec![], memo: BTreeMap::new(), copied: 0 };
    while machine.step()? {}
    Ok(machine.pickle)
}

struct Machine<'a, R> {
    input: &'a mut R,
    pickle: Pickle,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<usize, Id>,
    /// Entries that calls have copied.
    copied: usize,
}

impl<R: Read> Machine<'_, R> {
    /// Carries out one instruction; false after the last. Names of the instructions as in Python's `pickletools`.
    fn step(&mut self) -> Result<bool, Broken> {
        let [code] = self.bytes()?;
        match code {
            // PROTO, FRAME
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            // STOP
            b'.' => {
                self.pickle.root = self.pop()?;
                return Ok(false);
            }
            // NONE, NEWTRUE, NEWFALSE
            b'N' | 0x88 | 0x89 => self.push(Object::Nothing),
            // BINFLOAT
            b'G' => {
                self.bytes::<8>()?;
                self.push(Object::Nothing);
            }
            // BININT, BININT1, BININT2
            b'J' => {
                let number = i32::from_le_bytes(self.bytes()?);
                self.push(Object::Number(number.into()));
            }
            b'K' => {
                let [number] = self.bytes()?;
                self.push(Object::Number(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.bytes()?);
                self.push(Object::Number(number.into()));
            }
            // LONG1: little-endian, two's complement; nothing that counts values needs more than eight bytes.
            0x8a => {
                let [length] = self.bytes()?;
                let bytes = self.run(length.into())?;
                let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                let place = |index: usize| bytes.get(index).copied().unwrap_or(sign);
                let number = i64::from_le_bytes(std::array::from_fn(place));
                self.push(if bytes.len() <= 8 { Object::Number(number) } else { Object::Long(bytes) });
            }
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, BINSTRING, SHORT_BINSTRING
            b'X' | b'T' => {
                let length = u32::from_le_bytes(self.bytes()?);
                self.text(length.into())?;
            }
            0x8c | b'U' => {
                let [length] = self.bytes()?;
                self.text(length.into())?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.bytes()?);
                self.text(length)?;
            }
            // BINBYTES, SHORT_BINBYTES
            b'B' => {
                let length = u32::from_le_bytes(self.bytes()?);
                self.run(length.into())?;
                self.push(Object::Nothing);
            }
            b'C' => {
                let [length] = self.bytes()?;
                self.run(length.into())?;
                self.push(Object::Nothing);
            }
            // EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' | b')' | 0x8f => self.push(Object::List(Vec::new())),
            b'(' => self.marks.push(self.stack.len()),
            // TUPLE, LIST, TUPLE1 to TUPLE3, DICT
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.push(Object::List(items));
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.push(Object::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Object::Dict(pairs(&items)));
            }
            // SETITEM, SETITEMS, APPEND, APPENDS, ADDITEMS
            b's' => {
                let items = self.pop_many(2)?;
                self.fill(&items)?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.fill(&items)?;
            }
            b'u' | b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.fill(&items)?;
            }
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => {
                let [place] = self.bytes()?;
                self.remember(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.remember(place as usize)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let [place] = self.bytes()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.recall(place as usize)?;
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let names = self.pop_many(2)?;
                let name = names.iter().filter_map(|&id| self.as_text(id)).collect::<Vec<_>>().join(".");
                self.push(Object::Global(name));
            }
            // REDUCE and NEWOBJ make an object of a class or function and its arguments; BUILD sets its attributes.
            b'R' | 0x81 => {
                let made = self.pop_many(2)?;
                let object = self.make(made[0], made[1])?;
                if let Object::Dict(entries) = &object {
                    self.copied += entries.len();
                }
                if self.copied > MOST_COPIED {
                    return Err(format!("its calls make more than {MOST_COPIED} entries"));
                }
                self.push(object);
            }
            b'b' => drop(self.pop()?),
            // BINPERSID
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.pickle.storages.insert(storage.key.clone(), storage.clone());
                self.push(Object::Storage(storage));
            }
            // POP, DUP
            b'0' => drop(self.pop()?),
            b'2' => {
                let id = self.pop()?;
                self.stack.extend([id, id]);
            }
            other => return Err(format!("it holds the instruction {other:#04x}, which no state dict needs")),
        }
        Ok(true)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(unread)?;
        Ok(bytes)
    }

    fn run(&mut self, length: u64) -> Result<Vec<u8>, Broken> {
        if length > LONGEST {
            return Err(format!("a text of {length} bytes stands in it"));
        }
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(unread)?;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String, Broken> {
        let mut line = Vec::new();
        loop {
            match self.bytes()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] if line.len() < 1024 => line.push(byte),
                _ => return Err("a name of more than 1024 bytes stands in it".into()),
            }
        }
    }

    fn text(&mut self, length: u64) -> Result<(), Broken> {
        let bytes = self.run(length)?;
        self.push(match bytes.len() {
            0..=LONGEST_NAME => Object::Text(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Object::Nothing,
        });
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.pickle.objects.len());
        self.pickle.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, Broken> {
        self.stack.pop().ok_or_else(|| "it takes more than it has made".into())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, Broken> {
        let start = self.stack.len().checked_sub(count).ok_or("it takes more than it has made")?;
        Ok(self.stack.split_off(start))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Broken> {
        let start = self.marks.pop().filter(|&start| start <= self.stack.len());
        Ok(self.stack.split_off(start.ok_or("a list in it has no beginning")?))
    }

    fn remember(&mut self, place: usize) -> Result<(), Broken> {
        let id = *self.stack.last().ok_or("it takes more than it has made")?;
        self.memo.insert(place, id);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), Broken> {
        let id = *self.memo.get(&place).ok_or("it refers to what it has not made")?;
        self.stack.push(id);
        Ok(())
    }

    /// Adds to the container on top of the stack.
    fn fill(&mut self, items: &[Id]) -> Result<(), Broken> {
        let id = *self.stack.last().ok_or("it takes more than it has made")?;
        match self.pickle.objects.get_mut(id) {
            Some(Object::Dict(entries)) => entries.extend(pairs(items)),
            Some(Object::List(list)) => list.extend(items),
            _ => {}
        }
        Ok(())
    }

    fn as_text(&self, id: Id) -> Option<&str> {
        match self.pickle.get(id) {
            Object::Text(text) | Object::Global(text) => Some(text),
            _ => None,
        }
    }

    fn list(&self, id: Id) -> &[Id] {
        match self.pickle.get(id) {
            Object::List(items) => items,
            _ => &[],
        }
    }

    /// What a call would give, for the few functions that state dicts call.
    fn make(&self, callable: Id, arguments: Id) -> Result<Object, Broken> {
        let name = self.as_text(callable).unwrap_or("an unnamed class");
        let arguments = self.list(arguments);
        match (name, arguments) {
            ("collections.OrderedDict", []) => Ok(Object::Dict(Vec::new())),
            ("collections.OrderedDict", [entries, ..]) => {
                let entries = self.list(*entries).iter().flat_map(|&pair| pairs(self.list(pair)));
                Ok(Object::Dict(entries.collect()))
            }
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                [storage, offset, shape, strides, ..],
            ) => self.tensor(*storage, *offset, *shape, *strides).map(Object::Tensor),
            // With a kind of values that no storage names: storage, offset, shape, strides, gradient, hooks, kind.
            ("torch._utils._rebuild_tensor_v3", [storage, offset, shape, strides, _, _, kind, ..]) => {
                let mut tensor = self.tensor(*storage, *offset, *shape, *strides)?;
                tensor.storage.dtype = match self.as_text(*kind).unwrap_or("nothing") {
                    "torch.float8_e4m3fn" => Dtype::F8_E4M3,
                    "torch.float8_e5m2" => Dtype::F8_E5M2,
                    "torch.uint16" => Dtype::U16,
                    "torch.uint32" => Dtype::U32,
                    "torch.uint64" => Dtype::U64,
                    other => return Err(format!("it holds values of the kind `{other}`")),
                };
                Ok(Object::Tensor(tensor))
            }
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [tensor, ..]) => {
                Ok(self.pickle.get(*tensor).clone())
            }
            // A tensor with attributes of its own: function, class, arguments, attributes.
            // Lists may hold themselves: one such call within another would have no end.
            ("torch._tensor._rebuild_from_type_v2", [function, _, arguments, ..])
                if self.as_text(*function) != Some(name) =>
            {
                self.make(*function, *arguments)
            }
            _ => Ok(Object::Instance(name.into())),
        }
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Tensor, Broken> {
        let number = |id: Id| match self.pickle.get(id) {
            Object::Number(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let axes = |id: Id| Some(self.list(id)).filter(|axes| axes.len() <= MOST_AXES);
        let numbers = |id: Id| axes(id)?.iter().map(|&id| number(id)).collect::<Option<Vec<_>>>();
        let Object::Storage(storage) = self.pickle.get(storage) else {
            return Err("a tensor in it has no storage".into());
        };
        match (number(offset), numbers(shape), numbers(strides)) {
            (Some(offset), Some(shape), Some(strides)) if shape.len() == strides.len() => {
                Ok(Tensor { storage: storage.clone(), offset, shape, strides })
            }
            _ => Err(format!("a tensor of its storage `{}` has no shape", storage.key)),
        }
    }

    /// `("storage", torch.FloatStorage, key, device, count)`.
    fn storage(&self, id: Id) -> Result<Storage, Broken> {
        let [_, class, key, ..] = *self.list(id) else {
            return Err("it refers to something that is no storage".into());
        };
        let (class, key) = (self.as_text(class).unwrap_or("nothing"), self.as_text(key).unwrap_or_default());
        let dtype = match class.rsplit('.').next().unwrap_or(class) {
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "DoubleStorage" => Dtype::F64,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" | "UntypedStorage" => Dtype::U8,
            "BoolStorage" => Dtype::BOOL,
            _ => return Err(format!("it holds values of the kind `{class}`")),
        };
        Ok(Storage { key: key.into(), dtype })
    }
}

/// Each name once: what stands last under it counts, as in Python.
fn by_name<'a, T>(entries: impl DoubleEndedIterator<Item = (&'a str, T)>) -> Vec<(&'a str, T)> {
    let mut seen = BTreeSet::new();
    let mut named: Vec<_> = entries.rev().filter(|(name, _)| seen.insert(*name)).collect();
    named.reverse();
    named
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn unread(error: std::io::Error) -> Broken {
    if error.kind() == Io::UnexpectedEof { "it ends in the middle".into() } else { error.to_string() }
}
