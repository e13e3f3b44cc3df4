//! What changes from dispatch to dispatch: immediates where a device has them, else a uniform with the same words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of immediates every kernel may use: eight u32.
pub const IMMEDIATE_BYTES: u32 = 32;

type Words = [u32; IMMEDIATE_BYTES as usize / 4];

/// How the text of a kernel declares them.
const DECLARED: &str = "var<immediate>";
/// The same as a uniform, in a group of its own, so that the kernel's other bindings stay as they are.
const AS_UNIFORM: &str = "@group(1) @binding(0) var<uniform>";

/// A composed source for a device (or a browser) without immediates: they become a uniform at `@group(1) @binding(0)`,
/// [`IMMEDIATE_BYTES`] long. All else, and every line's number, stays as it is; without immediates the whole source.
pub fn immediates_as_uniform(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + AS_UNIFORM.len());
    for line in source.split_inclusive('\n') {
        // A declaration stands at the start of its line; what a comment says of it stays.
        let start = line.trim_start();
        match start.strip_prefix(DECLARED) {
            Some(rest) => out.extend([&line[..line.len() - start.len()], AS_UNIFORM, rest]),
            None => out.push_str(line),
        }
    }
    out
}

/// How a compiled kernel gets them.
#[derive(Clone)]
pub(super) enum Immediates {
    /// It takes none.
    None,
    Own,
    Uniform(Arc<Uniforms>),
}

impl Immediates {
    /// Of a source as it is compiled.
    pub(super) fn of(source: &str, uniforms: Option<&Arc<Uniforms>>) -> Immediates {
        match uniforms {
            Some(uniforms) if source.contains(AS_UNIFORM) => Immediates::Uniform(uniforms.clone()),
            None if source.contains(DECLARED) => Immediates::Own,
            _ => Immediates::None,
        }
    }

    /// Bytes of a pipeline's immediates.
    pub(super) fn bytes(&self) -> u32 {
        if matches!(self, Immediates::Own) { IMMEDIATE_BYTES } else { 0 }
    }

    /// The layout of group 1.
    pub(super) fn layout(&self) -> Option<&wgpu::BindGroupLayout> {
        if let Immediates::Uniform(uniforms) = self { Some(&uniforms.layout) } else { None }
    }

    /// Those of the next dispatch; missing ones are 0.
    pub(super) fn set(&self, pass: &mut wgpu::ComputePass, kernel: &str, immediates: &[u32]) {
        let mut words = Words::default();
        words[..immediates.len()].copy_from_slice(immediates);
        match self {
            Immediates::None => assert!(immediates.is_empty(), "kernel '{kernel}' takes no immediates"),
            Immediates::Own => pass.set_immediates(0, bytemuck::bytes_of(&words)),
            Immediates::Uniform(uniforms) => pass.set_bind_group(1, &uniforms.group(words), &[]),
        }
    }
}

/// Uniforms that hold the words of dispatches: one for each set of words, which is never written again, so that it does
/// not matter when a dispatch that reads it runs.
pub struct Uniforms {
    device: wgpu::Device,
    layout: wgpu::BindGroupLayout,
    groups: Mutex<HashMap<Words, wgpu::BindGroup>>,
}

/// Uniforms that are kept. Most dispatches of an update come again in the next with the same words, but for their
/// clock.
const KEPT: usize = 4096;

impl Uniforms {
    pub(super) fn new(device: &wgpu::Device) -> Arc<Uniforms> {
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("immediates"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            }],
        });
        Arc::new(Uniforms { device: device.clone(), layout, groups: Mutex::default() })
    }

    fn group(&self, words: Words) -> wgpu::BindGroup {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= KEPT {
            // What recorded commands still use lives as long as they do.
            groups.clear();
        }
        groups.entry(words).or_insert_with(|| self.bind(words)).clone()
    }

    fn bind(&self, words: Words) -> wgpu::BindGroup {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("immediates"),
            size: u64::from(IMMEDIATE_BYTES),
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: true,
        });
        // A lost device maps nothing, and what it is asked for then is not done.
        if let Ok(mut view) = buffer.get_mapped_range_mut(..) {
            view.copy_from_slice(bytemuck::bytes_of(&words));
        }
        buffer.unmap();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("immediates"),
            layout: &self.layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_declaration_changes() {
        let source = "// var<immediate> is what WGSL calls them\nstruct Imm { a: u32 }\n  var<immediate> imm: Imm;\n\
            @group(0) @binding(0) var<storage, read> x: array<f32>;\n";
        let changed = immediates_as_uniform(source);
        let expected = source.replace("  var<immediate> imm", "  @group(1) @binding(0) var<uniform> imm");
        assert_eq!(changed, expected);
        assert_eq!(immediates_as_uniform(&changed), changed, "there are none any more");
        naga::front::wgsl::parse_str(&changed).expect("naga takes it");
        for without in ["", "\n", "fn f() {}", "a\r\nb\n"] {
            assert_eq!(immediates_as_uniform(without), without);
        }
    }

    #[test]
    fn a_kernel_without_immediates_has_no_uniform() {
        assert!(matches!(Immediates::of("fn f() {}\n", None), Immediates::None));
        let own = Immediates::of("var<immediate> imm: Imm;\n", None);
        assert_eq!((own.bytes(), own.layout().is_none()), (IMMEDIATE_BYTES, true));
    }
}
