//! A rising curve through scattered points: what a value is on average, given another that it rises with.

/// The best rising step function through the points, by pooling neighbours that fall, read at evenly spaced quantiles of the
/// first values: `points` of `(at, mean)`, both rising.
pub fn isotonic_curve(mut pairs: Vec<(f32, f32)>, points: usize) -> Vec<(f32, f32)> {
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    // Blocks of sum and count; one that is below the one before it joins it.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (_, value) in &pairs {
        let mut block = (f64::from(*value), 1);
        while let Some(&(sum, count)) = blocks.last() {
            if sum / count as f64 <= block.0 / block.1 as f64 {
                break;
            }
            block = (block.0 + sum, block.1 + count);
            blocks.pop();
        }
        blocks.push(block);
    }
    let fitted: Vec<f32> =
        blocks.iter().flat_map(|&(sum, count)| std::iter::repeat_n((sum / count as f64) as f32, count)).collect();
    let last = pairs.len().saturating_sub(1);
    let place = |point: usize| point * last / points.saturating_sub(1).max(1);
    (0..points).filter_map(|point| Some((pairs.get(place(point))?.0, *fitted.get(place(point))?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_and_pools_what_falls() {
        let pairs = vec![(0.0, 0.0), (3.0, 1.0), (1.0, 0.6), (2.0, 0.2), (4.0, 1.0)];
        let curve = isotonic_curve(pairs, 5);
        assert_eq!(curve.iter().map(|point| point.0).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        for (found, wanted) in curve.iter().map(|point| point.1).zip([0.0, 0.4, 0.4, 1.0, 1.0]) {
            assert!((found - wanted).abs() < 1e-6, "{curve:?}");
        }
        assert_eq!(isotonic_curve(vec![(0.0, 1.0), (1.0, 0.0)], 2), [(0.0, 0.5), (1.0, 0.5)]);
        assert!(isotonic_curve(Vec::new(), 3).is_empty());
    }
}
