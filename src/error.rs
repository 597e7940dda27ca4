//! The one error type: a kind with a stable code, a sentence that names the fix, and the source kept.

use std::fmt;

/// What went wrong, as a stable word for programs. [`ErrorKind::code`] is its kebab-case form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A picture has no pixels, too many, or a buffer that does not match its size.
    InvalidImage,
    /// A model configuration that cannot be built.
    InvalidConfig,
    /// A bundle's manifest can't be read or contradicts itself.
    InvalidBundle,
    /// The bundle was written for a newer format.
    UnsupportedBundle,
    /// A file of the bundle is missing.
    MissingFile,
    /// A file of the bundle has the wrong length or hash.
    DamagedFile,
    /// A tensor is missing, misshapen or holds a value that is not finite.
    InvalidWeights,
    /// The descriptors were not made for this encoder.
    ForeignDescriptors,
    /// There is no usable device of the asked kind.
    DeviceUnavailable,
    /// The device computed a wrong answer to the golden self-test.
    DeviceWrong,
    /// Training data or a training step that can't be used.
    InvalidTraining,
    /// A text encoder or tokenizer file that can't be read.
    InvalidText,
    /// A value outside its range.
    InvalidArgument,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::InvalidImage,
        Self::InvalidConfig,
        Self::InvalidBundle,
        Self::UnsupportedBundle,
        Self::MissingFile,
        Self::DamagedFile,
        Self::InvalidWeights,
        Self::ForeignDescriptors,
        Self::DeviceUnavailable,
        Self::DeviceWrong,
        Self::InvalidTraining,
        Self::InvalidText,
        Self::InvalidArgument,
    ];

    /// The code that JavaScript sees as `error.code`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidImage => "invalid-image",
            Self::InvalidConfig => "invalid-config",
            Self::InvalidBundle => "invalid-bundle",
            Self::UnsupportedBundle => "unsupported-bundle",
            Self::MissingFile => "missing-file",
            Self::DamagedFile => "damaged-file",
            Self::InvalidWeights => "invalid-weights",
            Self::ForeignDescriptors => "foreign-descriptors",
            Self::DeviceUnavailable => "device-unavailable",
            Self::DeviceWrong => "device-wrong",
            Self::InvalidTraining => "invalid-training",
            Self::InvalidText => "invalid-text",
            Self::InvalidArgument => "invalid-argument",
        }
    }
}

/// An error of this crate: [`ErrorKind`], a sentence for people, and what caused it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a sentence that says what was expected and how to mend it.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// The same, keeping the error that caused it.
    pub fn with_source(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, context: context.into(), source: Some(source.into()) }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// [`ErrorKind::code`] of the kind.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
