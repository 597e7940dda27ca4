//! A linear head on a frozen encoder: what descriptors are measured against.

use burn::nn::{Linear, LinearConfig};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, GradientsParams, Optimizer};
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::adamw;
use super::features::Features;
use super::initial::normal;
use super::loss::unit;
use super::trainer::order;
use super::turn::autodiff_turn;
use crate::error::Result;

/// Class scores straight from an embedding, by one product.
pub struct LinearHead<B: AutodiffBackend> {
    linear: Linear<B>,
    optimizer: OptimizerAdaptor<AdamW, Linear<B>, B>,
    seed: u64,
    epoch: usize,
    device: B::Device,
}

impl<B: AutodiffBackend> LinearHead<B> {
    /// A head with seeded weights, as wide as the features.
    pub fn new(width: usize, classes: usize, seed: u64, device: &B::Device) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let scale = (width as f32).powf(-0.5);
        let values: Vec<f32> = (0..width * classes).map(|_| normal(&mut random) * scale).collect();
        let mut linear = LinearConfig::new(width, classes).init(device);
        linear.weight = linear
            .weight
            .map(|_| Tensor::from_data(TensorData::new(values.clone(), [width, classes]), device).require_grad());
        linear.bias = linear.bias.map(|bias| bias.map(|bias| bias.zeros_like().require_grad()));
        Self { linear, optimizer: adamw(0.0, 0.0).init(), seed, epoch: 0, device: device.clone() }
    }

    /// Trains for an epoch by cross-entropy against the votes. Gives the mean loss.
    pub fn epoch(&mut self, features: &Features, batch: usize, rate: f64) -> f64 {
        let order = order(&features.labels(), 0.0, self.seed, self.epoch);
        let (mut sum, mut steps) = (0.0, 0);
        for indices in order.chunks(batch.max(1)) {
            let _turn = autodiff_turn();
            let (pictures, votes) = features.batch::<B>(indices, &self.device);
            let scores = log_softmax(self.linear.forward(spread(pictures)), 1);
            let classes = scores.dims()[1];
            let votes = Tensor::from_data(TensorData::new(votes.concat(), [indices.len(), classes]), &self.device);
            let loss = (scores * votes).sum().neg() / indices.len() as f32;
            sum += burn::tensor::ElementConversion::elem::<f64>(loss.clone().into_scalar());
            steps += 1;
            let gradients = GradientsParams::from_grads(loss.backward(), &self.linear);
            self.linear = self.optimizer.step(rate, self.linear.clone(), gradients);
        }
        self.epoch += 1;
        sum / f64::from(steps.max(1))
    }

    /// One row of scores a picture, each adding up to 1.
    pub fn scores(&self, features: &Features) -> Result<Vec<Vec<f32>>> {
        let all: Vec<usize> = (0..features.count()).collect();
        let (pictures, _) = features.batch::<B>(&all, &self.device);
        let scores = softmax(self.linear.forward(spread(pictures)), 1);
        let classes = scores.dims()[1];
        let scores: Vec<f32> = super::read(scores)?;
        Ok(scores.chunks(classes).map(<[f32]>::to_vec).collect())
    }
}

/// Unit rows scaled so that a value's size is about 1, as a linear layer expects.
fn spread<B: AutodiffBackend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let width = rows.dims()[1] as f64;
    unit(rows) * width.sqrt()
}
