//! Embeddings of faces by expression -> how they are spread.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::{Error, ErrorKind, Result};
use crate::math::mean;
use crate::model::face_spread::FaceSpread;

/// Axes that are kept: with 24 of 384, drawn FER+ faces teach as with 48, and the bundle is 37 KB smaller.
const AXES: usize = 24;

/// Fits means and the spread within expressions.
///
/// - groups: unit vectors of each expression's faces, at least one each
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for an expression without a face, and what [`FaceSpread::new`] refuses.
pub fn fit_face_spread(groups: &[Vec<Vec<f32>>]) -> Result<FaceSpread> {
    if let Some(empty) = groups.iter().position(Vec::is_empty) {
        let why = format!("the spread of faces can't be fitted: there is no face of expression {empty}");
        return Err(Error::new(ErrorKind::InvalidArgument, why));
    }
    let width = groups.first().map_or(0, |group| group[0].len());
    let means: Vec<Vec<f32>> = groups.iter().map(|group| mean(group)).collect();
    let mut covariance = DMatrix::<f64>::zeros(width, width);
    for (group, mean) in groups.iter().zip(&means) {
        let rows = DMatrix::from_fn(group.len(), width, |row, column| f64::from(group[row][column] - mean[column]));
        covariance += rows.tr_mul(&rows);
    }
    covariance /= groups.iter().map(Vec::len).sum::<usize>() as f64;
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(covariance);
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let (kept, others) = order.split_at(AXES.min(width / 2));
    let rest = others.iter().map(|&index| eigenvalues[index].max(0.0)).sum::<f64>() / others.len().max(1) as f64;
    let axes = kept.iter().flat_map(|&index| {
        // What the rest has in every direction is drawn apart.
        let deviation = (eigenvalues[index] - rest).max(1e-12).sqrt();
        eigenvectors.column(index).iter().map(|value| (value * deviation) as f32).collect::<Vec<_>>()
    });
    FaceSpread::new(means.concat(), axes.collect(), rest.sqrt() as f32, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn a_spread_is_found_again_in_its_own_faces() {
        let width = 8;
        let mut means = vec![0.0; 2 * width];
        (means[0], means[width + 1]) = (1.0, 1.0);
        let mut axis = vec![0.0; width];
        axis[2] = 0.3;
        let spread = FaceSpread::new(means, axis, 0.02, width).unwrap();
        let mut random = SmallRng::seed_from_u64(2);
        let mut draw = |expression| (0..2000).map(|_| spread.draw(&mut random, expression, &[0.0; 8])).collect();
        let found = fit_face_spread(&[draw(0), draw(1)]).unwrap();
        assert!(found.mean(0)[0] > 0.9 && found.mean(1)[1] > 0.9);
        let along = |index: usize| {
            let mut vector = vec![0.0; width];
            vector[index] = 1.0;
            let [_, deviation] = found.similarities(&vector, &[]);
            deviation
        };
        // Unit length bends what is drawn a little.
        assert!((along(2) - 0.28).abs() < 0.03, "{}", along(2));
        assert!(along(5) < 0.05, "{}", along(5));
        assert!(fit_face_spread(&[vec![vec![1.0]], Vec::new()]).is_err());
    }
}
