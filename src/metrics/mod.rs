//! What predictions are worth, and which of them are worth giving.

mod evaluation;
mod explanation;
mod isotonic;
mod uncertainty;

pub use evaluation::{Evaluation, calibration_error, fit_temperature, restrict};
pub use explanation::*;
pub use isotonic::isotonic_curve;
pub use uncertainty::{Coverage, coverage, fit_threshold};
