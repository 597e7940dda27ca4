//! A lesson's step by Burn's autodiff and Adam, which the one that browsers take is held to.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData, activation::softplus};

use crate::engine::burn::TrainingCpu;
use crate::model::teaching::tests::learner;
use crate::model::teaching::{BETAS, DECAY, EPSILON, RATE};

#[derive(Module, Debug)]
struct Learned<B: Backend> {
    parameters: Param<Tensor<B, 2>>,
}

#[test]
fn a_lesson_s_step_is_burn_s() {
    let mut learner = learner();
    let (count, width) = (learner.faces.len(), learner.parameters.len());
    let _turn = crate::train::autodiff_turn();
    let device = Default::default();
    let column = |values: &[f32]| {
        Tensor::<TrainingCpu, 2>::from_data(TensorData::new(values.to_vec(), [values.len(), 1]), &device)
    };
    let faces = Tensor::<TrainingCpu, 2>::from_data(TensorData::new(learner.faces.concat(), [count, width]), &device);
    let (others, targets, weights) = (column(&learner.others), column(&learner.targets), column(&learner.weights));
    let mut burn = Learned { parameters: Param::from_tensor(column(&learner.parameters)) };
    let adam = AdamConfig::new().with_beta_1(BETAS[0]).with_beta_2(BETAS[1]).with_epsilon(EPSILON);
    let mut adam = adam.init::<TrainingCpu, Learned<TrainingCpu>>();
    for _ in 0..5 {
        let parameters = burn.parameters.val();
        let margins = faces.clone().matmul(parameters.clone()) - others.clone();
        let each = softplus(margins.clone(), 1.0) - targets.clone() * margins;
        let loss = (each * weights.clone()).sum() + parameters.powi_scalar(2).sum() * (DECAY / 2.0);
        let value: f32 = loss.clone().into_scalar();
        let ours = learner.step();
        assert!((value - ours).abs() < 1e-4 * value.abs(), "{value} {ours}");
        let gradients = GradientsParams::from_grads(loss.backward(), &burn);
        burn = adam.step(f64::from(RATE), burn, gradients);
        let found: Vec<f32> = burn.parameters.val().into_data().to_vec().unwrap();
        let most = found.iter().zip(&learner.parameters).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A step is 0.1: Adam divides by small numbers, in which rounding shows.
        assert!(most < 1e-3, "{most}");
    }
}
