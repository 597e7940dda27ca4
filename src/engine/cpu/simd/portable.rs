//! Four lanes as an array: whatever the compiler makes of it.

use super::Vector;

#[derive(Clone, Copy)]
pub struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, with: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| with(self.0[lane], other.0[lane])))
    }
}

impl Vector for F32x4 {
    const LANES: usize = 4;
    const STEP: usize = 2;
    type Code = i16;
    type Sums = [i32; 4];
    type Bytes = [i16; 8];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if b < a { b } else { a })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if b > a { b } else { a })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        // Elsewhere a fused product would be a call into the mathematics library.
        if cfg!(target_arch = "aarch64") {
            Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], sum.0[lane])))
        } else {
            self.mul(factor).add(sum)
        }
    }

    #[inline(always)]
    fn with_sign_of(self, other: Self) -> Self {
        self.zip(other, f32::copysign)
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.map(|rounded| f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let [a, b, c, d] = self.0;
        a.max(c).max(b.max(d))
    }

    #[inline(always)]
    unsafe fn store_codes(self, to: *mut i16) {
        unsafe { to.cast::<[i16; 4]>().write_unaligned(self.0.map(|rounded| rounded.to_bits() as i16)) }
    }

    #[inline(always)]
    fn no_sums() -> [i32; 4] {
        [0; 4]
    }

    #[inline(always)]
    fn to_floats(sums: [i32; 4]) -> Self {
        Self(sums.map(|sum| sum as f32))
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> [i16; 8] {
        unsafe { from.cast::<[i8; 8]>().read() }.map(i16::from)
    }

    #[inline(always)]
    unsafe fn splat_codes(from: *const i16) -> [i16; 8] {
        let [a, b] = unsafe { from.cast::<[i16; 2]>().read_unaligned() };
        [a, b, a, b, a, b, a, b]
    }

    #[inline(always)]
    fn ones() -> [i16; 8] {
        [1; 8]
    }

    #[inline(always)]
    fn dot<const WHOLE: bool>(sums: [i32; 4], weights: [i16; 8], codes: [i16; 8], _: [i16; 8]) -> [i32; 4] {
        let product = |place: usize| i32::from(weights[place]) * i32::from(codes[place]);
        std::array::from_fn(|lane| sums[lane] + product(2 * lane) + product(2 * lane + 1))
    }
}
