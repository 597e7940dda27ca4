//! How the learning rate moves over a run.

use serde::{Deserialize, Serialize};

/// How the learning rate moves over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Schedule {
    /// Up to the highest over a twentieth of the steps, then down a cosine to 0: for training from nothing.
    #[default]
    WarmCosine,
    /// Down a cosine to 0 and back to the highest every so many epochs: CLIPER's second stage, with 10.
    Restarts {
        /// Epochs between restarts.
        epochs: usize,
    },
}

impl Schedule {
    /// The share of the highest rate at a step.
    ///
    /// - steps: of the whole run
    /// - epoch_steps: of an epoch
    pub fn share(&self, step: usize, steps: usize, epoch_steps: usize) -> f64 {
        let cosine = |done: f64| 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        match *self {
            Self::WarmCosine => {
                let warm = (steps / 20).max(1);
                if step < warm {
                    (step + 1) as f64 / warm as f64
                } else {
                    cosine((step - warm) as f64 / (steps - warm).max(1) as f64)
                }
            }
            Self::Restarts { epochs } => {
                let period = (epochs * epoch_steps).max(1);
                cosine((step % period) as f64 / period as f64)
            }
        }
    }
}
