//! Every shader without a device: composed with a kernel's constants, parsed and validated by naga, and compared with what Rust
//! believes of it.

use isacbench::gpu::{Access, IMMEDIATE_BYTES, SHADERS, bindings, compose};
use isacbench::kernels::{CHECKS, SHADER_CASES, ShaderCase};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};

fn parsed(case: &ShaderCase) -> (String, Module) {
    let composed = compose(case.stem, &(case.prelude)()).unwrap_or_else(|e| panic!("{e}"));
    let module = naga::front::wgsl::parse_str(&composed.source)
        .unwrap_or_else(|e| panic!("{}:\n{}", case.stem, e.emit_to_string(&composed.source)));
    (composed.source, module)
}

#[test]
fn every_shader_has_one_case_and_one_check() {
    for (stem, _) in SHADERS {
        let cases = SHADER_CASES.iter().filter(|c| c.stem == *stem).count();
        assert_eq!(cases, 1, "shaders/{stem}.wgsl has {cases} lines in SHADER_CASES");
        let checks = CHECKS.iter().filter(|c| c.kernel == *stem).count();
        assert_eq!(checks, 1, "shaders/{stem}.wgsl has {checks} lines in CHECKS");
    }
    for stem in SHADER_CASES.iter().map(|c| c.stem).chain(CHECKS.iter().map(|c| c.kernel)) {
        assert!(SHADERS.iter().any(|(s, _)| *s == stem), "'{stem}' is not in SHADERS");
    }
}

#[test]
fn every_file_is_registered() {
    for (dir, table) in [("shaders", SHADERS), ("shaders/shared", isacbench::gpu::SHARED)] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "wgsl") {
                let stem = path.file_stem().unwrap().to_str().unwrap();
                assert!(
                    table.iter().any(|(s, _)| *s == stem),
                    "{dir}/{stem}.wgsl is in no table of src/gpu/shader.rs"
                );
            }
        }
    }
}

#[test]
fn shaders_validate_and_their_entry_point_is_their_stem() {
    for case in SHADER_CASES {
        let (source, module) = parsed(case);
        Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES)
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}:\n{}", case.stem, e.emit_to_string(&source)));
        let [entry] = &module.entry_points[..] else {
            panic!("{} has {} entry points", case.stem, module.entry_points.len())
        };
        assert_eq!(entry.name, case.stem);
        assert_eq!(entry.stage, ShaderStage::Compute);
        assert_eq!(
            entry.workgroup_size,
            [case.wg as u32, 1, 1],
            "{}: not the WG of its Rust file",
            case.stem
        );
        assert!(case.wg <= 256, "{}: more threads than every WebGPU device has", case.stem);
    }
}

#[test]
fn bindings_read_from_the_text_are_those_of_naga() {
    for case in SHADER_CASES {
        let (source, module) = parsed(case);
        let mut reflected = Vec::new();
        for (_, var) in module.global_variables.iter() {
            let Some(b) = var.binding else { continue };
            assert_eq!(b.group, 0, "{}: '{:?}' is outside group 0", case.stem, var.name);
            let AddressSpace::Storage { access } = var.space else {
                panic!("{}: a binding that is no storage buffer", case.stem)
            };
            let access = if access.contains(StorageAccess::STORE) { Access::ReadWrite } else { Access::Read };
            reflected.push((b.binding, var.name.clone().unwrap_or_default(), access));
        }
        reflected.sort_by_key(|r| r.0);
        assert!(
            reflected.iter().enumerate().all(|(i, r)| r.0 == i as u32),
            "{}: bindings are not 0, 1, 2, …",
            case.stem
        );
        assert!(
            reflected.len() <= 8,
            "{}: {} storage buffers, WebGPU promises 8",
            case.stem,
            reflected.len()
        );
        let reflected: Vec<_> = reflected.into_iter().map(|(_, name, access)| (name, access)).collect();
        assert_eq!(bindings(&source), reflected, "{}: a binding is not written on one line", case.stem);
    }
}

#[test]
fn immediates_are_found_and_fit() {
    for case in SHADER_CASES {
        let (source, module) = parsed(case);
        let immediate = module
            .global_variables
            .iter()
            .find(|(_, v)| v.space == AddressSpace::Immediate)
            .map(|(_, v)| v.ty);
        assert_eq!(immediate.is_some(), source.contains("var<immediate>"), "{}", case.stem);
        if let Some(ty) = immediate {
            let size = module.types[ty].inner.size(module.to_ctx());
            assert!(
                size <= IMMEDIATE_BYTES,
                "{}: {size} bytes of immediates, {IMMEDIATE_BYTES} are set",
                case.stem
            );
        }
    }
}
