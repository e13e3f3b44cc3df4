//! How a workgroup of v2x_rollout divides its work on a device, and the memory that this takes.

use crate::nets::MlpLayout;

/// Most hidden layers.
pub const MAX_HIDDEN: usize = 8;

/// Threads that every WebGPU device has in a workgroup.
const MAX_THREADS: usize = 256;

/// How a workgroup divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// E: environments of a workgroup, a multiple of 8.
    pub envs: usize,
    /// Threads over the neurons of a layer, four neurons each; eight environments a thread.
    pub quads: usize,
    /// Inputs of a layer whose weights are staged at a time.
    pub slice: usize,
    /// All weights stay in workgroup memory through the dispatch; else they are staged slice by slice at every slot.
    pub resident: bool,
}

/// Inputs of a layer, rounded up to what a step of the products takes.
pub(super) fn terms(inputs: usize) -> usize {
    inputs.next_multiple_of(4)
}

impl Tiling {
    /// What suits a device with these limits, for `b` environments of a replica: as many environments in a workgroup as
    /// fit (they share the weights), at most twice as many as there are; for the same number of environments, resident
    /// weights are preferred to streamed ones. `None` where nothing fits: spiking networks, layers too wide or too
    /// many, and too many actions for a thread to have four of one environment.
    pub fn choose(limits: &wgpu::Limits, net: &MlpLayout, b: usize) -> Option<Tiling> {
        let (_, hidden) = net.layers.split_last()?;
        if net.lif.is_some() || !(1..=MAX_HIDDEN).contains(&hidden.len()) {
            return None;
        }
        let widest = hidden.iter().map(|l| l.outputs).max()?;
        // So many that each thread also has one quad of the last layer's outputs at most, and whole warps for large E.
        let quads = widest.div_ceil(4).max(8 * net.outputs().div_ceil(4)).next_multiple_of(8);
        let invocations =
            limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        let fits = |p: &Tiling| {
            p.threads() <= MAX_THREADS.min(invocations as usize)
                && p.bytes(net) <= limits.max_compute_workgroup_storage_size as usize
        };
        let sizes = [64, 32, 16, 8].into_iter().filter(|&envs| envs == 8 || envs < 2 * b);
        let ways = [(true, 16), (false, 16), (false, 8)];
        sizes
            .flat_map(|envs| ways.map(|(resident, slice)| Tiling { envs, quads, slice, resident }))
            .find(fits)
    }

    pub fn threads(&self) -> usize {
        self.envs / 8 * self.quads
    }

    /// Rows of the activations.
    pub(super) fn act_rows(net: &MlpLayout) -> usize {
        net.layers.iter().map(|l| terms(l.inputs)).max().expect("a network has layers")
    }

    /// Quads of weights that are staged.
    pub(super) fn staged(&self, net: &MlpLayout) -> usize {
        let (last, hidden) = net.layers.split_last().expect("a network has layers");
        match self.resident {
            true => {
                hidden.iter().map(|l| terms(l.inputs) * (self.quads + 1)).sum::<usize>()
                    + terms(last.inputs) * last.outputs.div_ceil(4)
            }
            false => self.slice * (self.quads + 1),
        }
    }

    /// Workgroup memory.
    pub fn bytes(&self, net: &MlpLayout) -> usize {
        let activations = Self::act_rows(net) * (self.envs / 4 + 1);
        let means = self.envs * net.outputs().div_ceil(4);
        16 * (activations + self.staged(net) + means) + 4 * self.envs * net.inputs()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nets::{Activation, Hidden};

    fn net(inputs: usize, hidden: &[usize], actions: usize) -> MlpLayout {
        MlpLayout::new(&[&[inputs], hidden, &[actions]].concat(), Activation::Tanh, 0)
    }

    /// WebGPU's defaults with so many KiB of workgroup memory.
    fn limits(kib: u32) -> wgpu::Limits {
        wgpu::Limits { max_compute_workgroup_storage_size: kib << 10, ..wgpu::Limits::default() }
    }

    fn tiling(kib: u32, hidden: &[usize], b: usize) -> Option<Tiling> {
        Tiling::choose(&limits(kib), &net(12, hidden, 6), b)
    }

    /// The memory of the paper's policy, by hand: 64 environments as 17 quads of 128 activations, 16 rows of 33 quads
    /// of weights, 2 quads of means each, 12 numbers observed.
    #[test]
    fn memory_by_hand() {
        let p = Tiling { envs: 64, quads: 32, slice: 16, resident: false };
        assert_eq!(p.bytes(&net(12, &[128, 128], 6)), 16 * (128 * 17 + 16 * 33 + 64 * 2) + 4 * 64 * 12);
        // 12 inputs and 64: 17 quads each; the last layer's 64: 2.
        let p = Tiling { envs: 64, quads: 16, slice: 16, resident: true };
        let weights = (12 + 64) * 17 + 64 * 2;
        assert_eq!(p.bytes(&net(12, &[64, 64], 6)), 16 * (64 * 17 + weights + 64 * 2) + 4 * 64 * 12);
    }

    #[test]
    fn tilings_of_the_usual_limits() {
        let streamed = |envs, slice| Some(Tiling { envs, quads: 32, slice, resident: false });
        // NVIDIA, software Vulkan, what WebGPU promises.
        assert_eq!(tiling(48, &[128, 128], 65_536), streamed(64, 16));
        assert_eq!(tiling(32, &[128, 128], 65_536), streamed(32, 16));
        assert_eq!(tiling(16, &[128, 128], 65_536), streamed(16, 8));
        let half = |envs, resident| Some(Tiling { envs, quads: 16, slice: 16, resident });
        assert_eq!(tiling(48, &[64, 64], 65_536), half(64, true));
        // Sixty-four environments with streamed weights go before thirty-two with resident ones.
        assert_eq!(tiling(32, &[64, 64], 65_536), half(64, false));
        assert_eq!(tiling(48, &[16, 16], 65_536), half(64, true));
        // No more than twice the environments that there are.
        assert_eq!(tiling(48, &[16, 16], 16), half(16, true));
        assert_eq!(tiling(48, &[16, 16], 17), half(32, true));
        assert_eq!(tiling(48, &[16, 16], 1), half(8, true));
    }

    #[test]
    fn what_does_not_fit_has_no_tiling() {
        assert_eq!(tiling(48, &[4096], 1024), None);
        assert_eq!(tiling(48, &[16; 9], 1024), None);
        assert_eq!(tiling(48, &[], 1024), None);
        assert!(tiling(48, &[16; 8], 1024).is_some());
        assert_eq!(tiling(4, &[128, 128], 1024), None);
        // Explicit beams of 32 antennas.
        assert_eq!(Tiling::choose(&limits(64), &net(12, &[128, 128], 195), 1024), None);
        let lif = crate::nets::Lif {
            steps: 6,
            lambda: 0.5,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: false,
            readout: crate::nets::Readout::Last,
            learn_leak: false,
            membrane: crate::nets::Membrane::Reset,
        };
        let spiking = MlpLayout::new(&[12, 128, 128, 6], Hidden::Lif(lif), 0);
        assert_eq!(Tiling::choose(&limits(64), &spiking, 1024), None);
        let few = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..limits(48) };
        assert_eq!(Tiling::choose(&few, &net(12, &[128, 128], 6), 1024).map(|p| p.threads()), Some(128));
    }

    /// What the shader takes for granted: threads for all environments and for a quad of each one's outputs, whole
    /// slices of four.
    #[test]
    fn tilings_hold_together() {
        for kib in [16, 32, 48, 64] {
            for hidden in [&[1][..], &[20], &[31, 7], &[64, 64], &[100, 200], &[128, 128], &[256], &[512, 8]]
            {
                for k in 1..=8 {
                    for b in [1, 5, 16, 33, 4096] {
                        let net = net(4 * k, hidden, 2 * k);
                        let Some(p) = Tiling::choose(&limits(kib), &net, b) else { continue };
                        assert!(p.bytes(&net) <= (kib as usize) << 10 && p.threads() <= 256, "{p:?}");
                        assert!(p.threads() >= p.envs * (2 * k).div_ceil(4), "{p:?} of {net:?}");
                        assert!(p.envs.is_multiple_of(8) && p.slice.is_multiple_of(4), "{p:?}");
                        assert!(net.layers.iter().rev().skip(1).all(|l| l.outputs <= 4 * p.quads), "{p:?}");
                    }
                }
            }
        }
        assert!(tiling(48, &[512, 8], 4096).is_some());
    }
}
