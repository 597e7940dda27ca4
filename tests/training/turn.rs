//! Trainings side by side in one process keep their gradients.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Tensor;
use cliper::engine::burn::TrainingCpu;
use cliper::train::autodiff_turn;

/// A pass whose parts are gone before their sum is known to Burn's graph: where sweeps of other threads took steps.
fn gradient(leaf: &Tensor<TrainingCpu, 1>) -> Option<Vec<f32>> {
    let _turn = autodiff_turn();
    let parts = vec![leaf.clone() * 2.0, leaf.clone() * 3.0];
    let gradients = Tensor::cat(parts, 0).sum().backward();
    leaf.grad(&gradients).map(|gradient| gradient.into_data().to_vec().unwrap())
}

#[test]
fn gradients_stay_whole_beside_another_training() {
    let leaf = || Tensor::<TrainingCpu, 1>::ones([4], &Default::default()).require_grad();
    let over = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                gradient(&leaf());
            }
        });
        let held = leaf();
        let found: Vec<_> = (0..20_000).map(|_| gradient(&held)).collect();
        over.store(true, Ordering::Relaxed);
        found
    });
    let broken = found.iter().filter(|gradient| gradient.as_deref() != Some(&[5.0; 4])).count();
    assert_eq!(broken, 0, "of {}", found.len());
}
