//! Non-overlapping patches as rows of a matrix, so that the patch embedding is one product.

use burn::tensor::{Tensor, backend::Backend};

/// # Shapes
/// - input: `[batch, side * side, channels]`, rows of pixels
/// - output: `[batch * grid * grid, patch * patch * channels]`
pub fn patches<B: Backend>(input: Tensor<B, 3>, side: usize, patch: usize) -> Tensor<B, 2> {
    let [batch, _, channels] = input.dims();
    let grid = side / patch;
    if patch == 1 {
        return input.reshape([batch * side * side, channels]);
    }
    input
        .reshape([batch, grid, patch, grid, patch * channels])
        .swap_dims(2, 3)
        .reshape([batch * grid * grid, patch * patch * channels])
}
