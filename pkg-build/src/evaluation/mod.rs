//! What a model is worth, and what other engines are.

pub mod encode;
pub mod engines;
pub mod engines_report;
pub mod explain;
pub mod fidelity;
pub mod folds;
pub mod locality;
pub mod measure;
pub mod perturbations;
