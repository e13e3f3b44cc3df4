//! f16 of WGSL, IEEE 754 binary16, as its bits.

use half::f16;

/// The f16 nearest to `x`, of two the one whose last bit is 0; infinite where |x| ≥ 65,520. NaN stays NaN.
pub fn f16_bits(x: f32) -> u16 {
    f16::from_f32_const(x).to_bits()
}

/// The number that the bits of an f16 stand for.
pub fn f16_value(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32_const()
}

/// The f16 nearest to `x`, as a number.
pub fn round_f16(x: f32) -> f32 {
    f16_value(f16_bits(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(f16_value(bits), value, "{bits:#06x}");
            assert_eq!(f16_bits(value), bits, "{value:e}");
        }
        assert_eq!(f16_bits(-0.0), 0x8000);
        assert!(f16_value(0x8000).is_sign_negative());
    }

    /// All 65,536: each is its own nearest, and between two neighbours the nearer wins, in the middle the even one.
    #[test]
    fn every_f16_is_where_rounding_leads() {
        for bits in 0..=u16::MAX {
            let x = f16_value(bits);
            if x.is_nan() {
                assert!(bits & 0x7c00 == 0x7c00 && bits & 0x3ff != 0, "{bits:#06x}");
                assert!(f16_value(f16_bits(x)).is_nan());
                continue;
            }
            assert_eq!(f16_bits(x), bits, "{x:e}");
            // Up to the neighbour away from 0; behind the last one lies 65,536.
            if bits & 0x7fff < 0x7c00 {
                let away = if bits & 0x7fff == 0x7bff { 65_536f32.copysign(x) } else { f16_value(bits + 1) };
                let middle = ((f64::from(x) + f64::from(away)) / 2.0) as f32;
                assert!(middle != x && middle != away, "f32 has the middle");
                let even = if bits & 1 == 0 { bits } else { bits + 1 };
                assert_eq!(f16_bits(middle), even, "{middle:e}");
                // Magnitudes next to the middle: their bits are those of the middle, one less or one more.
                assert_eq!(f16_bits(f32::from_bits(middle.to_bits() - 1)), bits, "below {middle:e}");
                assert_eq!(f16_bits(f32::from_bits(middle.to_bits() + 1)), bits + 1, "above {middle:e}");
            }
        }
        assert_eq!(f16_bits(f32::MAX), 0x7c00);
        assert_eq!(f16_bits(f32::from_bits(1)), 0);
        assert_eq!(f16_bits(-f32::INFINITY), 0xfc00);
    }
}
