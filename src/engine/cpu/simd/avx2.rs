//! Eight lanes of AVX2 with fused products, where the processor has them.

use std::arch::x86_64::*;

use super::{Kernel, Vector};

pub fn is_there() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// # Safety
/// [`is_there`] must be true.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn run<K: Kernel>(kernel: K) {
    kernel.run::<F32x8>();
}

/// Private to [`run`]: none exists where the instructions don't.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);

// SAFETY of every block without a pointer: the instructions are there (see above).
impl Vector for F32x8 {
    const LANES: usize = 8;
    const STEP: usize = 4;
    type Code = u8;
    type Sums = __m256i;
    type Bytes = __m256i;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, sum.0) })
    }

    #[inline(always)]
    fn with_sign_of(self, other: Self) -> Self {
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Self(_mm256_or_ps(_mm256_andnot_ps(sign, self.0), _mm256_and_ps(sign, other.0)))
        }
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        unsafe {
            let shifted = _mm256_slli_epi32(_mm256_castps_si256(self.0), 23);
            Self(_mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_set1_epi32(127 << 23))))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let halves = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps(self.0, 1));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
        }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        unsafe {
            let halves = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps(self.0, 1));
            let pairs = _mm_max_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_max_ss(pairs, _mm_movehdup_ps(pairs)))
        }
    }

    #[inline(always)]
    unsafe fn store_codes(self, to: *mut u8) {
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let low = _mm256_set1_epi32(0x0c08_0400);
            let bytes = _mm256_shuffle_epi8(bits, low);
            to.cast::<i32>().write_unaligned(_mm256_extract_epi32(bytes, 0));
            to.add(4).cast::<i32>().write_unaligned(_mm256_extract_epi32(bytes, 4));
        }
    }

    #[inline(always)]
    fn no_sums() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn to_floats(sums: __m256i) -> Self {
        Self(unsafe { _mm256_cvtepi32_ps(sums) })
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat_codes(from: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    fn ones() -> __m256i {
        unsafe { _mm256_set1_epi16(1) }
    }

    #[inline(always)]
    fn dot<const WHOLE: bool>(sums: __m256i, weights: __m256i, codes: __m256i, ones: __m256i) -> __m256i {
        // 2 * 127 * 128 fits 16 bits: the pairs never saturate.
        unsafe {
            let pairs = _mm256_maddubs_epi16(codes, weights);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones))
        }
    }
}
