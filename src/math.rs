//! Small arithmetic on rows of numbers.

/// Index of the highest score.
pub fn best(scores: &[f32]) -> usize {
    scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(index, _)| index)
}

/// The mean of rows of one length.
pub fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = rows.first().cloned().unwrap_or_default();
    for row in rows.iter().skip(1) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sum.iter_mut().for_each(|sum| *sum /= rows.len() as f32);
    sum
}

/// Product of two vectors.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sums side by side, of which the compiler makes vectors: one after the other, each would wait for the last.
    let mut sums = [0.0f32; 16];
    let (first, last) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest = first.remainder().iter().zip(last.remainder()).map(|(a, b)| a * b).sum::<f32>();
    for (a, b) in first.zip(last) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.into_iter().sum::<f32>() + rest
}

/// The logarithm of the sum of exponentials.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    most + logits.iter().map(|logit| (logit - most).exp()).sum::<f32>().ln()
}

/// A vector brought to unit length.
pub fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt().max(1e-12);
    vector.iter().map(|value| value / length).collect()
}

/// Cosine of two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}
