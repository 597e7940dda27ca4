//! CLIPER's loss over descriptor scores, taught by vote distributions.
//!
//! With true class y and `z = similarity / temperature`:
//! - margin: cross-entropy over `[min_k z[y,k], max_k z[c,k] for c != y]`: the worst own descriptor must beat the
//!   best foreign one;
//! - fine-grained: cross-entropy over `[max_k z[y,k], z[c,k] for c != y]`, weighted by `alpha`, so that one
//!   descriptor can't take a whole class.
//!
//! Our extension: the margin term is the mean over the votes' distribution; one-hot votes give the paper's loss.

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax, backend::Backend};

/// The loss and its parts, each a mean over the batch.
#[derive(Debug, Clone)]
pub struct Loss<B: Backend> {
    /// `margin + fine`.
    pub total: Tensor<B, 1>,
    /// The margin term.
    pub margin: Tensor<B, 1>,
    /// The fine-grained term, weighted.
    pub fine: Tensor<B, 1>,
}

/// CLIPER's loss.
///
/// # Shapes
/// - logits: `[batch, descriptors of all classes in order]`, similarities divided by the temperature
/// - votes: `[batch][classes]`, each row adding up to 1
/// - counts: descriptors of each class
pub fn cliper_loss<B: Backend>(logits: Tensor<B, 2>, votes: &[Vec<f32>], counts: &[usize]) -> Loss<B> {
    let [batch, descriptors] = logits.dims();
    let classes = counts.len();
    let device = logits.device();
    let labels: Vec<usize> = votes.iter().map(|votes| crate::math::best(votes)).collect();

    let starts = starts(counts);
    let own = |class: usize| logits.clone().narrow(1, starts[class], counts[class]);
    let most = Tensor::cat((0..classes).map(|class| own(class).max_dim(1)).collect(), 1);
    let least = Tensor::cat((0..classes).map(|class| own(class).min_dim(1)).collect(), 1);

    // [batch, supposed class, class]: the supposed class stands with its worst descriptor, the others with their best.
    let same = Tensor::<B, 2>::eye(classes, &device).unsqueeze_dim::<3>(0);
    let table =
        most.clone().unsqueeze_dim::<3>(1) * (same.clone() * -1.0 + 1.0) + least.unsqueeze_dim::<3>(1) * same.clone();
    let margins = (log_softmax(table, 2) * same).sum_dim(2).reshape([batch, classes]).neg();
    let flat: Vec<f32> = votes.iter().flatten().copied().collect();
    let votes = Tensor::from_data(TensorData::new(flat, [batch, classes]), &device);
    let margin = (margins * votes).sum() / batch as f32;

    let class_of: Vec<usize> = (0..classes).flat_map(|class| vec![class; counts[class]]).collect();
    let own_mask: Vec<f32> = labels
        .iter()
        .flat_map(|label| class_of.iter().map(move |class| if class == label { -1e9 } else { 0.0 }))
        .collect();
    let own_mask = Tensor::from_data(TensorData::new(own_mask, [batch, descriptors]), &device);
    let places: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
    let places = Tensor::<B, 2, Int>::from_data(TensorData::new(places, [batch, 1]), &device);
    let best_own = most.gather(1, places);
    let fine = log_softmax(Tensor::cat(vec![best_own, logits.clone() + own_mask], 1), 1);
    let fine = fine.narrow(1, 0, 1).neg();
    let values: Vec<f32> = logits.detach().into_data().convert::<f32>().to_vec().unwrap_or_default();
    let alpha = modulating_factor(&values, &labels, counts);
    let alpha = Tensor::from_data(TensorData::new(alpha, [batch, 1]), &device);
    let fine = (fine * alpha).sum() / batch as f32;

    Loss { total: margin.clone() + fine.clone(), margin, fine }
}

/// Cross-entropy of the class scores (the mean over each class's descriptors, as a prediction is made) against the
/// votes: a mean over the batch. An extension: from nothing, the extremes that CLIPER's terms teach by learn slowly.
///
/// # Shapes
/// - as [`cliper_loss`]
pub fn class_loss<B: Backend>(logits: Tensor<B, 2>, votes: &[Vec<f32>], counts: &[usize]) -> Tensor<B, 1> {
    let [batch, _] = logits.dims();
    let device = logits.device();
    let scores = log_softmax(class_scores(logits, counts), 1);
    let flat: Vec<f32> = votes.iter().flatten().copied().collect();
    let votes = Tensor::from_data(TensorData::new(flat, [batch, counts.len()]), &device);
    (scores * votes).sum().neg() / batch as f32
}

/// The mean over each class's descriptors, `[batch, classes]`.
pub(super) fn class_scores<B: Backend>(logits: Tensor<B, 2>, counts: &[usize]) -> Tensor<B, 2> {
    let starts = starts(counts);
    let means = (0..counts.len()).map(|class| logits.clone().narrow(1, starts[class], counts[class]).mean_dim(1));
    Tensor::cat(means.collect(), 1)
}

/// Cosines of every picture with every descriptor, over the temperature: what both stages are taught by.
///
/// # Shapes
/// - pictures: `[batch, embedding]`, of any length
/// - descriptors: `[descriptors, embedding]`, of any length
/// - output: `[batch, descriptors]`
pub fn logits<B: Backend>(pictures: Tensor<B, 2>, descriptors: Tensor<B, 2>, temperature: f32) -> Tensor<B, 2> {
    unit(pictures).matmul(unit(descriptors).transpose()) / temperature
}

/// Rows at unit length.
pub(super) fn unit<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let length = (rows.clone() * rows.clone()).sum_dim(1).sqrt().clamp_min(1e-6);
    rows / length
}

/// Place of each class's first descriptor.
fn starts(counts: &[usize]) -> Vec<usize> {
    counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect()
}

/// The modulating factor alpha of each sample.
///
/// In the batch, `n[c,k]` counts the samples of class c whose best own descriptor is k (0 counts as -1/99);
/// `alpha = sum_k n[y,k] * softmax_k(1 / n[y,.])[k*] / n[y,k*]`.
///
/// # Shapes
/// - logits: `[batch * descriptors]`
/// - output: `[batch]`
pub fn modulating_factor(logits: &[f32], labels: &[usize], counts: &[usize]) -> Vec<f32> {
    let descriptors: usize = counts.iter().sum();
    let starts = starts(counts);
    let best: Vec<usize> = logits
        .chunks_exact(descriptors)
        .zip(labels)
        .map(|(row, &label)| starts[label] + crate::math::best(&row[starts[label]..][..counts[label]]))
        .collect();
    let mut chosen = vec![0u32; descriptors];
    best.iter().for_each(|&place| chosen[place] += 1);
    let number = |place: usize| if chosen[place] == 0 { -1.0 / 99.0 } else { f64::from(chosen[place]) };
    best.iter()
        .zip(labels)
        .map(|(&place, &label)| {
            let own = starts[label]..starts[label] + counts[label];
            let exponents: f64 = own.clone().map(|place| (1.0 / number(place)).exp()).sum();
            let sum: f64 = own.map(number).sum();
            (sum * (1.0 / number(place)).exp() / exponents / number(place)) as f32
        })
        .collect()
}
