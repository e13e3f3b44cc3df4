//! The sizes of a run of benches: those of no task here, those of a task in its folder.
//!
//! `ISACBENCH_GRID` chooses: `small` (one size each: it shows that everything runs), `default`, `large`. A software
//! adapter gets the same tiny sizes whatever is chosen; its times say nothing about GPUs.

use super::DeviceKind;

/// Environment variable that names the grid.
pub const GRID: &str = "ISACBENCH_GRID";

/// How many sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grid {
    Small,
    Default,
    Large,
}

/// Sizes of a learner: replicas R, environments B of each, width H of the hidden layers (of experts: of the LSTM).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    pub r: usize,
    pub b: usize,
    pub h: usize,
}

impl Learning {
    /// Of a table of (R, B, H).
    pub fn table(table: &[(usize, usize, usize)]) -> Vec<Learning> {
        table.iter().map(|&(r, b, h)| Learning { r, b, h }).collect()
    }
}

/// Sizes of the kernels: those of a training run.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// Replicas, environments, slots, samples of a minibatch, slices of its weight gradients, parameters of a replica.
    pub r: usize,
    pub b: usize,
    pub t: usize,
    pub m: usize,
    pub s: usize,
    pub p: usize,
}

impl Grid {
    /// What `ISACBENCH_GRID` says; an error names what it may say.
    pub fn from_env() -> Result<Grid, String> {
        match std::env::var(GRID) {
            Err(_) => Ok(Grid::Default),
            Ok(word) => word.parse(),
        }
    }

    /// The sizes of this grid.
    pub fn choose<T>(self, small: &'static [T], default: &'static [T], large: &'static [T]) -> &'static [T] {
        match self {
            Grid::Small => small,
            Grid::Default => default,
            Grid::Large => large,
        }
    }

    /// Rows and widths of the networks alone.
    pub fn networks(self, kind: DeviceKind) -> Vec<Learning> {
        Learning::table(match kind {
            DeviceKind::SoftwareGpu => &[(1, 64, 16)],
            // The policy's widths, and rows that stay in a core's caches.
            DeviceKind::Cpu => self.choose(
                &[(1, 256, 128)],
                &[(1, 256, 64), (1, 256, 128), (1, 256, 256), (1, 120, 128)],
                &[(1, 256, 64), (1, 256, 128), (1, 256, 256), (1, 256, 512), (1, 120, 128), (1, 4096, 128)],
            ),
            DeviceKind::Gpu => self.choose(
                &[(1, 65_536, 128)],
                &[(1, 4096, 128), (1, 65_536, 128), (1, 65_536, 64), (1, 65_536, 256), (16, 4096, 128)],
                &[
                    (1, 1024, 128),
                    (1, 4096, 128),
                    (1, 16_384, 128),
                    (1, 65_536, 128),
                    (1, 262_144, 128),
                    (1, 65_536, 64),
                    (1, 65_536, 256),
                    (1, 65_536, 512),
                    (16, 4096, 128),
                    (64, 1024, 128),
                ],
            ),
        })
    }

    /// Replicas of the curve of learning in one batch and one after another; the environments and the width of each.
    pub fn replicas(self, kind: DeviceKind) -> Vec<Learning> {
        let (replicas, b, h) = match kind {
            DeviceKind::SoftwareGpu => (&[1, 2][..], 16, 16),
            _ => {
                (self.choose(&[1, 8, 64], &[1, 4, 16, 64, 256], &[1, 2, 4, 8, 16, 32, 64, 128, 256]), 16, 64)
            }
        };
        replicas.iter().map(|&r| Learning { r, b, h }).collect()
    }

    /// The kernels; they are bench and test cases, so their sizes do not vary.
    pub fn kernels(self, kind: DeviceKind) -> Kernels {
        let p = 36_999;
        match kind {
            DeviceKind::SoftwareGpu => Kernels { r: 1, b: 128, t: 8, m: 256, s: 2, p },
            _ => Kernels { r: 4, b: 4096, t: 100, m: 25_600, s: 50, p },
        }
    }

    /// Bytes that the copy ceiling copies, and the width of the square products of the compute ceiling.
    pub fn ceiling(self, kind: DeviceKind) -> (usize, usize) {
        match (kind, self) {
            (DeviceKind::SoftwareGpu, _) => (4 << 20, 128),
            (DeviceKind::Cpu, Grid::Small) => (64 << 20, 1024),
            (DeviceKind::Cpu, _) => (256 << 20, 2048),
            (DeviceKind::Gpu, _) => (1 << 30, 4096),
        }
    }
}

impl std::str::FromStr for Grid {
    type Err = String;
    fn from_str(word: &str) -> Result<Grid, String> {
        match word {
            "small" => Ok(Grid::Small),
            "default" => Ok(Grid::Default),
            "large" => Ok(Grid::Large),
            other => Err(format!("{GRID}={other}: may be small, default or large")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_one_of_three_words() {
        assert_eq!("small".parse(), Ok(Grid::Small));
        let error = "tiny".parse::<Grid>().expect_err("no grid");
        assert!(error.contains("tiny") && error.contains("default"), "{error}");
    }

    /// Ids are made of sizes: none may stand twice.
    #[test]
    fn no_size_stands_twice() {
        for grid in [Grid::Small, Grid::Default, Grid::Large] {
            for kind in [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::SoftwareGpu] {
                for all in [grid.networks(kind), grid.replicas(kind)] {
                    for (i, s) in all.iter().enumerate() {
                        assert!(!all[..i].contains(s), "{grid:?} {kind:?}: {s:?} twice");
                    }
                }
                assert_eq!(grid.replicas(kind)[0].r, 1, "what one replica costs is the measure");
            }
        }
    }
}
