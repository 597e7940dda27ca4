//! Four lanes of WebAssembly SIMD, relaxed where the file is compiled for it.

use std::arch::wasm32::*;

use super::Vector;

#[cfg(target_feature = "relaxed-simd")]
pub const NAME: &str = "relaxed SIMD";
#[cfg(not(target_feature = "relaxed-simd"))]
pub const NAME: &str = "SIMD";

#[derive(Clone, Copy)]
pub struct F32x4(v128);

impl Vector for F32x4 {
    const LANES: usize = 4;
    #[cfg(target_feature = "relaxed-simd")]
    const STEP: usize = 4;
    #[cfg(not(target_feature = "relaxed-simd"))]
    const STEP: usize = 2;
    #[cfg(target_feature = "relaxed-simd")]
    type Code = u8;
    #[cfg(not(target_feature = "relaxed-simd"))]
    type Code = i16;
    type Sums = v128;
    type Bytes = v128;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { v128_store(to.cast(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(f32x4_div(self.0, other.0))
    }

    // One instruction on x86, unlike `f32x4_min`, which orders NaN and zeros.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(f32x4_pmin(self.0, other.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(f32x4_pmax(self.0, other.0))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(f32x4_relaxed_madd(self.0, factor.0, sum.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        self.mul(factor).add(sum)
    }

    #[inline(always)]
    fn with_sign_of(self, other: Self) -> Self {
        Self(v128_bitselect(self.0, other.0, i32x4_splat(i32::MAX)))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(i32x4_add(i32x4_shl(self.0, 23), i32x4_splat(127 << 23)))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let pairs = f32x4_add(self.0, i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0));
        f32x4_extract_lane::<0>(pairs) + f32x4_extract_lane::<1>(pairs)
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let pairs = f32x4_pmax(self.0, i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0));
        f32x4_extract_lane::<0>(pairs).max(f32x4_extract_lane::<1>(pairs))
    }

    #[inline(always)]
    unsafe fn store_codes(self, to: *mut Self::Code) {
        #[cfg(target_feature = "relaxed-simd")]
        unsafe {
            let bytes = i8x16_shuffle::<0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12>(self.0, self.0);
            v128_store32_lane::<0>(bytes, to.cast());
        }
        #[cfg(not(target_feature = "relaxed-simd"))]
        unsafe {
            let halves = i16x8_shuffle::<0, 2, 4, 6, 0, 2, 4, 6>(self.0, self.0);
            v128_store64_lane::<0>(halves, to.cast());
        }
    }

    #[inline(always)]
    fn no_sums() -> v128 {
        i32x4_splat(0)
    }

    #[inline(always)]
    fn to_floats(sums: v128) -> Self {
        Self(f32x4_convert_i32x4(sums))
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return unsafe { v128_load(from.cast()) };
        #[cfg(not(target_feature = "relaxed-simd"))]
        unsafe {
            i16x8_load_extend_i8x8(from)
        }
    }

    #[inline(always)]
    unsafe fn splat_codes(from: *const Self::Code) -> v128 {
        unsafe { v128_load32_splat(from.cast()) }
    }

    #[inline(always)]
    fn ones() -> v128 {
        // As a constant it would be made anew at each use.
        std::hint::black_box(i16x8_splat(1))
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn dot<const WHOLE: bool>(sums: v128, weights: v128, codes: v128, ones: v128) -> v128 {
        if WHOLE {
            i32x4_relaxed_dot_i8x16_i7x16_add(weights, codes, sums)
        } else {
            i32x4_add(sums, i32x4_dot_i16x8(i16x8_relaxed_dot_i8x16_i7x16(weights, codes), ones))
        }
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn dot<const WHOLE: bool>(sums: v128, weights: v128, codes: v128, _: v128) -> v128 {
        i32x4_add(sums, i32x4_dot_i16x8(weights, codes))
    }

    /// Outside the range in which all hosts agree, the result tells the instruction: -128 * 255 is taken for signed
    /// (ARM's dot product), summed as it is (x86's VNNI), or saturated in pairs (x86 before it, where the whole takes
    /// five instructions and by hand three: 88 and 115 billion operations a second on the machine of `tests/bench`).
    #[cfg(target_feature = "relaxed-simd")]
    #[inline]
    fn has_whole_dot() -> bool {
        let (least, most) = std::hint::black_box((i8::MIN, u8::MAX));
        let sums = i32x4_relaxed_dot_i8x16_i7x16_add(i8x16_splat(least), u8x16_splat(most), i32x4_splat(0));
        i32x4_extract_lane::<0>(sums) != 2 * i32::from(i16::MIN)
    }
}
