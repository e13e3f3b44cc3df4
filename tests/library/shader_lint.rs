//! Every shader without a device: composed with a kernel's constants, parsed and validated by naga, and compared with
//! what Rust believes of it.

use isacbench::gpu::{Access, IMMEDIATE_BYTES, Reduce, bindings, compose, immediates_as_uniform, portable};
use isacbench::kernels::Entry;
use isacbench::tasks;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};

fn parsed(case: &Entry) -> (String, Module) {
    parsed_with(case, Reduce::Tree)
}

fn parsed_with(case: &Entry, reduce: Reduce) -> (String, Module) {
    let composed = compose(&case.shader, &(case.prelude)(), reduce).unwrap_or_else(|e| panic!("{e}"));
    let module = naga::front::wgsl::parse_str(&composed.source)
        .unwrap_or_else(|e| panic!("{}:\n{}", case.kernel, e.emit_to_string(&composed.source)));
    (composed.source, module)
}

/// The files below `dir` that end in `.ext`, as paths from the crate's root.
fn files(dir: &str, ext: &str) -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut open, mut found) = (vec![root.join(dir)], Vec::new());
    while let Some(dir) = open.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == ext) {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_string());
            }
        }
    }
    found
}

/// Each file of `shaders/` is a kernel of one entry, or something that an entry can import, and each entry has its own
/// file.
#[test]
fn shaders_and_registry_have_the_same_kernels() {
    let (shared, kernels): (Vec<_>, Vec<_>) =
        files("shaders", "wgsl").into_iter().partition(|file| file.contains("/shared/"));
    for file in &kernels {
        let entries = tasks::kernels().filter(|entry| entry.shader.file == file).count();
        assert_eq!(entries, 1, "{file} has {entries} entries in the registries of kernels");
    }
    assert_eq!(kernels.len(), tasks::kernels().count());
    for file in &shared {
        let importable =
            |entry: &Entry| entry.shader.imports.iter().copied().flatten().any(|i| i.file == file);
        assert!(tasks::kernels().any(importable), "{file} is in no list of imports");
    }
}

/// A kernel's host file has its name, beside what calls it.
#[test]
fn every_kernel_has_its_host_file() {
    let hosts = files("src", "rs");
    for kernel in tasks::kernels().map(|entry| entry.kernel) {
        let own = hosts.iter().filter(|file| file.ends_with(&format!("kernels/{kernel}.rs"))).count();
        assert_eq!(own, 1, "{own} files kernels/{kernel}.rs");
    }
}

#[test]
fn shaders_validate_and_their_entry_point_is_their_stem() {
    // A kernel may use what its line in the registry says, and the sum over subgroups what the form says.
    let needed = |case: &Entry, reduce: Reduce| {
        let f16 = case.needs.contains(wgpu::Features::SHADER_F16);
        let own = if f16 { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() };
        own | match reduce {
            Reduce::Tree => Capabilities::IMMEDIATES,
            Reduce::Subgroups => Capabilities::IMMEDIATES | Capabilities::SUBGROUP,
        }
    };
    for (case, reduce) in tasks::kernels().flat_map(|case| Reduce::ALL.map(|reduce| (case, reduce))) {
        let (source, module) = parsed_with(case, reduce);
        Validator::new(ValidationFlags::all(), needed(case, reduce))
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}:\n{}", case.kernel, e.emit_to_string(&source)));
        let [entry] = &module.entry_points[..] else {
            panic!("{} has {} entry points", case.kernel, module.entry_points.len())
        };
        assert_eq!(entry.name, case.kernel);
        assert_eq!(entry.stage, ShaderStage::Compute);
        assert_eq!(
            entry.workgroup_size,
            [(case.wg)() as u32, 1, 1],
            "{}: not the WG of its Rust file",
            case.kernel
        );
        assert!((case.wg)() <= 256, "{}: more threads than every WebGPU device has", case.kernel);
    }
}

#[test]
fn bindings_read_from_the_text_are_those_of_naga() {
    for case in tasks::kernels() {
        let (source, module) = parsed(case);
        let mut reflected = Vec::new();
        for (_, var) in module.global_variables.iter() {
            let Some(b) = var.binding else { continue };
            assert_eq!(b.group, 0, "{}: '{:?}' is outside group 0", case.kernel, var.name);
            let AddressSpace::Storage { access } = var.space else {
                panic!("{}: a binding that is no storage buffer", case.kernel)
            };
            let access = if access.contains(StorageAccess::STORE) { Access::ReadWrite } else { Access::Read };
            reflected.push((b.binding, var.name.clone().unwrap_or_default(), access));
        }
        reflected.sort_by_key(|r| r.0);
        assert!(
            reflected.iter().enumerate().all(|(i, r)| r.0 == i as u32),
            "{}: bindings are not 0, 1, 2, …",
            case.kernel
        );
        assert!(
            reflected.len() <= 8,
            "{}: {} storage buffers, WebGPU promises 8",
            case.kernel,
            reflected.len()
        );
        let reflected: Vec<_> = reflected.into_iter().map(|(_, name, access)| (name, access)).collect();
        assert_eq!(bindings(&source), reflected, "{}: a binding is not written on one line", case.kernel);
    }
}

#[test]
fn immediates_are_found_and_fit() {
    for case in tasks::kernels() {
        let (source, module) = parsed(case);
        let immediate = module
            .global_variables
            .iter()
            .find(|(_, v)| v.space == AddressSpace::Immediate)
            .map(|(_, v)| v.ty);
        assert_eq!(immediate.is_some(), source.contains("var<immediate>"), "{}", case.kernel);
        if let Some(ty) = immediate {
            let size = module.types[ty].inner.size(module.to_ctx());
            assert!(
                size <= IMMEDIATE_BYTES,
                "{}: {size} bytes of immediates, {IMMEDIATE_BYTES} are set",
                case.kernel
            );
        }
    }
}

/// As a browser gets them: no capability is asked for, all else is where it was, and what is in workgroup memory fits
/// into what WebGPU promises.
#[test]
fn with_immediates_as_a_uniform_a_kernel_needs_nothing_but_webgpu() {
    for case in tasks::kernels().filter(|case| case.needs.is_empty()) {
        let (source, module) = parsed(case);
        let changed = immediates_as_uniform(&source);
        let uniform = naga::front::wgsl::parse_str(&changed)
            .unwrap_or_else(|e| panic!("{}:\n{}", case.kernel, e.emit_to_string(&changed)));
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&uniform)
            .unwrap_or_else(|e| panic!("{}:\n{}", case.kernel, e.emit_to_string(&changed)));
        assert_eq!(changed.lines().count(), source.lines().count(), "{}", case.kernel);
        assert_eq!(bindings(&changed), bindings(&source), "{}", case.kernel);
        let uniforms =
            uniform.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Uniform).count();
        let immediates =
            module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Immediate).count();
        assert_eq!(uniforms, immediates, "{}", case.kernel);
        let shared = uniform.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
        let bytes: u32 = shared.map(|(_, v)| uniform.types[v.ty].inner.size(uniform.to_ctx())).sum();
        // The fused rollout takes a plan that suits the device.
        assert!(
            bytes <= 16 << 10 || case.kernel == "v2x_rollout",
            "{}: {bytes} bytes of workgroup memory",
            case.kernel
        );
    }
}

/// What browsers get of every kernel: the same module without immediates, whose words lie where they are set.
#[test]
fn every_kernel_has_a_form_without_immediates() {
    let mut changed = 0;
    for case in tasks::kernels() {
        let (source, module) = parsed(case);
        let form = portable(&source);
        let other = naga::front::wgsl::parse_str(&form.source)
            .unwrap_or_else(|e| panic!("{}:\n{}", case.kernel, e.emit_to_string(&form.source)));
        let own =
            if source.contains("enable f16;") { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() };
        Validator::new(ValidationFlags::all(), own)
            .validate(&other)
            .unwrap_or_else(|e| panic!("{}: {e:?}", case.kernel));
        let words = |m: &Module, space: AddressSpace| {
            let found = m.global_variables.iter().find(|(_, v)| v.space == space)?.1;
            let naga::TypeInner::Struct { members, .. } = &m.types[found.ty].inner else {
                panic!("no struct")
            };
            Some(members.iter().map(|m| (m.name.clone().unwrap(), m.offset)).collect::<Vec<_>>())
        };
        let immediates = words(&module, AddressSpace::Immediate);
        assert_eq!(words(&other, AddressSpace::Uniform), immediates, "{}", case.kernel);
        assert_eq!(words(&other, AddressSpace::Immediate), None, "{}", case.kernel);
        let named = form.immediates.iter().enumerate().map(|(i, name)| (name.clone(), 4 * i as u32));
        assert_eq!(named.collect::<Vec<_>>(), immediates.clone().unwrap_or_default(), "{}", case.kernel);
        changed += usize::from(immediates.is_some());
    }
    assert!(changed > 40, "only {changed} kernels have immediates");
}
