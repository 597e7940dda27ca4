//! Vectors of f32, one type an instruction set, and the choice among them: what every kernel is written in.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(not(target_arch = "wasm32"))]
mod portable;
#[cfg(target_arch = "wasm32")]
mod wasm;

/// One register of numbers.
///
/// The products of 8-bit numbers take signed weights and activations in 0..=127 ([`Vector::Code`]): the range in
/// which relaxed dot products are the same on every host.
pub trait Vector: Copy {
    /// f32 values, and i32 sums, of one register.
    const LANES: usize;
    /// Inputs that one step of an 8-bit product takes.
    const STEP: usize;
    /// How an activation of 7 bits is stored.
    type Code: Copy;
    /// [`Vector::LANES`] sums of 8-bit products.
    type Sums: Copy;
    /// What 8-bit weights and activations are multiplied in.
    type Bytes: Copy;

    /// The same value in every lane.
    fn splat(value: f32) -> Self;
    /// # Safety
    /// [`Vector::LANES`] values must be readable.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// [`Vector::LANES`] values must be writable.
    unsafe fn store(self, to: *mut f32);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    /// `self * factor + sum`, rounded once or twice: whichever is faster here.
    fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// Its magnitude with the other's sign.
    fn with_sign_of(self, other: Self) -> Self;
    /// `2^n` where `self` is `n + ROUND`.
    fn power_of_two(self) -> Self;
    /// The lanes' sum.
    fn sum(self) -> f32;
    /// The largest lane.
    fn largest(self) -> f32;

    /// Stores `n` as codes where `self` is `n + ROUND`, n in 0..=127.
    ///
    /// # Safety
    /// [`Vector::LANES`] codes must be writable.
    unsafe fn store_codes(self, to: *mut Self::Code);
    fn no_sums() -> Self::Sums;
    fn to_floats(sums: Self::Sums) -> Self;
    /// [`Vector::STEP`] weights of each of [`Vector::LANES`] outputs.
    ///
    /// # Safety
    /// `LANES * STEP` bytes must be readable.
    unsafe fn load_weights(from: *const i8) -> Self::Bytes;
    /// [`Vector::STEP`] activations for every lane.
    ///
    /// # Safety
    /// [`Vector::STEP`] codes must be readable.
    unsafe fn splat_codes(from: *const Self::Code) -> Self::Bytes;
    /// Ones of 16 bits, for [`Vector::dot`] to keep in a register.
    fn ones() -> Self::Bytes;
    /// Adds the products. With `WHOLE`, by the instruction that does all of it.
    fn dot<const WHOLE: bool>(
        sums: Self::Sums,
        weights: Self::Bytes,
        codes: Self::Bytes,
        ones: Self::Bytes,
    ) -> Self::Sums;
    /// Whether that one instruction is one here, and not three.
    fn has_whole_dot() -> bool {
        false
    }
}

/// Adding 1.5 * 2^23 rounds a number of less than 22 bits to the nearest integer, which then stands in the low bits.
pub const ROUND: f32 = 12_582_912.0;

/// Most lanes of any vector.
pub const MOST_LANES: usize = 8;

/// Work that is compiled once an instruction set. `run` must be `#[inline(always)]`, as must all that it calls.
pub trait Kernel {
    fn run<V: Vector>(self);
}

/// Runs a kernel on the best vectors that this machine has: the same ones at every call.
#[inline]
pub fn dispatch(kernel: impl Kernel) {
    #[cfg(target_arch = "wasm32")]
    kernel.run::<wasm::F32x4>();
    #[cfg(target_arch = "x86_64")]
    if avx2::is_there() {
        // SAFETY: the instructions are there.
        unsafe { avx2::run(kernel) }
    } else {
        kernel.run::<portable::F32x4>();
    }
    #[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
    kernel.run::<portable::F32x4>();
}

/// Shapes that packing depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// f32 values of a register.
    pub lanes: usize,
    /// Inputs of one step of an 8-bit product.
    pub step: usize,
    /// Bytes of a stored activation.
    pub code: usize,
}

/// The shapes of the vectors that [`dispatch`] takes.
pub fn shape() -> Shape {
    struct Ask<'a>(&'a mut Shape);
    impl Kernel for Ask<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            *self.0 = Shape { lanes: V::LANES, step: V::STEP, code: size_of::<V::Code>() };
        }
    }
    let mut shape = Shape { lanes: 0, step: 0, code: 0 };
    dispatch(Ask(&mut shape));
    shape
}

/// The instruction set that [`dispatch`] takes, for people.
pub fn name() -> &'static str {
    #[cfg(target_arch = "wasm32")]
    return wasm::NAME;
    #[cfg(target_arch = "x86_64")]
    if avx2::is_there() {
        return "AVX2";
    }
    #[cfg(not(target_arch = "wasm32"))]
    "portable"
}
