//! Tile sizes of the register-tiled dense kernels (`shaders/shared/tile.wgsl`): each thread holds 8 rows × 4 columns of
//! results, and slices of BK terms of the sums are staged in workgroup memory.

use crate::gpu::Prelude;

/// Terms of the sums staged at a time.
pub const BK: usize = 16;

/// What one workgroup computes: `bm` rows × `bn` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub bm: usize,
    pub bn: usize,
}

impl Tile {
    /// The tile for a result of `rows` × `cols`: 128 × 64 where there is that much of both, narrower where there is
    /// not, so that a layer with one output does not compute sixty-four; never under one warp of 32 threads.
    pub fn choose(rows: usize, cols: usize) -> Tile {
        let mut t =
            Tile { bm: rows.next_power_of_two().clamp(8, 128), bn: cols.next_power_of_two().clamp(8, 64) };
        while t.threads() < 32 {
            // bm = 128 with the narrowest bn = 8 is 32 threads, so this ends.
            t.bm *= 2;
        }
        t
    }

    pub fn threads(self) -> usize {
        (self.bm / 8) * (self.bn / 4)
    }

    /// Workgroups over the rows and over the columns of the result.
    pub fn groups(self, rows: usize, cols: usize) -> [u32; 2] {
        [rows.div_ceil(self.bm) as u32, cols.div_ceil(self.bn) as u32]
    }

    /// The constants BM, BN, BK and THREADS, and f32 as what is staged.
    pub fn prelude(self, p: Prelude) -> Prelude {
        self.sizes(p).alias("Operand", "f32")
    }

    /// The same with f16 as what is staged.
    pub fn prelude_f16(self, p: Prelude) -> Prelude {
        self.sizes(p).alias("Operand", "f16")
    }

    fn sizes(self, p: Prelude) -> Prelude {
        p.u32("BM", self.bm).u32("BN", self.bn).u32("BK", BK).u32("THREADS", self.threads())
    }

    /// Loop iterations of a thread in all, for sums of `terms` terms.
    pub fn trips(self, terms: usize) -> usize {
        let loads = (BK * self.bm / 4).div_ceil(self.threads()) + (BK * self.bn / 4).div_ceil(self.threads());
        terms.div_ceil(BK) * (1 + loads + BK / 4) + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_default_limits_of_webgpu() {
        for rows in (1..300).chain([4096]) {
            for cols in (1..200).chain([4096]) {
                let t = Tile::choose(rows, cols);
                assert!((32..=256).contains(&t.threads()), "{rows}x{cols}: {t:?}");
                assert!(t.bm.is_multiple_of(8) && t.bn.is_multiple_of(4), "{t:?}");
                let bytes = 16 * BK * (t.bm / 4 + 1 + t.bn / 4 + 1);
                assert!(bytes <= 16_384, "{t:?} takes {bytes} bytes of workgroup memory");
                let [x, y] = t.groups(rows, cols);
                assert!(x as usize * t.bm >= rows && y as usize * t.bn >= cols);
            }
        }
        assert_eq!(Tile::choose(4096, 128), Tile { bm: 128, bn: 64 });
        assert_eq!(Tile::choose(4096, 1), Tile { bm: 128, bn: 8 });
    }
}
