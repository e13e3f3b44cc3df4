//! How kernels add over the threads of a workgroup: `shaders/shared/reduce_tree.wgsl` or
//! `shaders/shared/reduce_subgroups.wgsl`, two forms of the same function, of which `#import reduce` takes one.

/// A form of the sum over a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// A binary tree in workgroup memory: the same bits on every device that rounds alike, and those of the CPU twins.
    Tree,
    /// The device's own sum inside each subgroup, then the subgroups in turn: fewer barriers, and an order that is the
    /// device's.
    Subgroups,
}

/// Threads that the smallest subgroup has in WebGPU, on which the size of workgroup memory rests.
const LEAST_SUBGROUP: u32 = 4;

impl Reduce {
    pub const ALL: [Reduce; 2] = [Reduce::Tree, Reduce::Subgroups];

    /// Loop iterations of a thread in one sum, at most: 8 columns, and 64 subgroups of the largest workgroup.
    pub const TRIPS: usize = 8 + 64;

    /// In names of benches.
    pub fn name(self) -> &'static str {
        match self {
            Reduce::Tree => "tree",
            Reduce::Subgroups => "subgroups",
        }
    }

    /// The file that `#import reduce` stands for.
    pub fn stem(self) -> &'static str {
        match self {
            Reduce::Tree => "reduce_tree",
            Reduce::Subgroups => "reduce_subgroups",
        }
    }

    /// Subgroups on hardware that has them. Software Vulkan checks kernels against the bits of their twins, and adds as
    /// they do.
    pub(super) fn preferred(info: &wgpu::AdapterInfo, features: wgpu::Features) -> Reduce {
        let software = info.device_type == wgpu::DeviceType::Cpu;
        match Reduce::Subgroups.missing(info, features) {
            None if !software => Reduce::Subgroups,
            _ => Reduce::Tree,
        }
    }

    /// What a device lacks for this form.
    pub(super) fn missing(self, info: &wgpu::AdapterInfo, features: wgpu::Features) -> Option<&'static str> {
        match self {
            Reduce::Tree => None,
            Reduce::Subgroups if !features.contains(wgpu::Features::SUBGROUP) => Some("subgroup operations"),
            Reduce::Subgroups if info.subgroup_min_size < LEAST_SUBGROUP => Some("subgroups of 4 threads"),
            Reduce::Subgroups => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::{Backend, DeviceType, Features};

    #[test]
    fn subgroups_are_for_hardware_that_has_them() {
        let adapter = |kind, least| {
            let mut info = wgpu::AdapterInfo::new(kind, Backend::Vulkan);
            info.subgroup_min_size = least;
            info
        };
        let of = |kind, least, features| Reduce::preferred(&adapter(kind, least), features);
        assert_eq!(of(DeviceType::DiscreteGpu, 32, Features::SUBGROUP), Reduce::Subgroups);
        assert_eq!(of(DeviceType::DiscreteGpu, 4, Features::SUBGROUP), Reduce::Subgroups);
        assert_eq!(of(DeviceType::DiscreteGpu, 32, Features::empty()), Reduce::Tree);
        assert_eq!(of(DeviceType::DiscreteGpu, 2, Features::SUBGROUP), Reduce::Tree);
        assert_eq!(of(DeviceType::Cpu, 8, Features::SUBGROUP), Reduce::Tree);
    }
}
