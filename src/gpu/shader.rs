//! From WGSL texts to a kernel that can be recorded: `#import`, the constant prelude, the binding layout read from the
//! WGSL text itself, and errors that name the file and line.

use super::immediates::{Immediates, immediates_as_uniform};
use super::kernel::{Access, Kernel};
use super::{Buf, Gpu, GpuError, Reduce};
use bytemuck::Pod;
use std::sync::PoisonError;

/// A WGSL text that kernels import: what follows `#import` is its name.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    pub name: &'static str,
    /// Where errors say that it is.
    pub file: &'static str,
    pub text: &'static str,
}

/// A kernel's WGSL text with all that it can import. Whoever has a kernel hands it in: nothing here lists kernels, and
/// a kernel of another crate is compiled as one of this.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The name of the kernel and of its entry point.
    pub name: &'static str,
    /// Where errors say that it is.
    pub file: &'static str,
    pub text: &'static str,
    /// Where `#import` looks, one after the other. Imports of imports are looked up here too.
    pub imports: &'static [&'static [Import]],
}

/// Sizes and constants that become WGSL `const`s in front of a kernel: the only definition of each is in Rust.
#[derive(Clone, Debug, Default)]
pub struct Prelude(String);

impl Prelude {
    pub fn new() -> Self {
        Self::default()
    }
    /// `const NAME: u32 = value;`
    pub fn u32(mut self, name: &str, value: usize) -> Self {
        self.0 += &format!("const {name}: u32 = {value}u;\n");
        self
    }
    /// `const NAME: f32 = value;` (shortest text that reads back as the same f32)
    pub fn f32(mut self, name: &str, value: f32) -> Self {
        self.0 += &format!("const {name}: f32 = {value:?}f;\n");
        self
    }
    /// `alias NAME = of;`
    pub fn alias(mut self, name: &str, of: &str) -> Self {
        self.0 += &format!("alias {name} = {of};\n");
        self
    }
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// A kernel's full WGSL and, for each of its lines, the file and line it came from.
pub struct Composed {
    pub source: String,
    lines: Vec<(String, usize)>,
}

impl Composed {
    /// "file:line" of a line (1-based) of the composed source.
    pub fn origin(&self, line: usize) -> String {
        match self.lines.get(line.wrapping_sub(1)) {
            Some((file, n)) => format!("{file}:{n}"),
            None => format!("line {line}"),
        }
    }
}

/// Joins prelude, imports (each once, in order of first mention) and the kernel, behind the directives of all of them
/// (`enable f16;`), which WGSL wants first. `#import reduce` takes the form `reduce`.
///
/// # Errors
/// [`GpuError::Shader`] if an import is not there, or two of the kernel's imports have one name and different texts.
pub fn compose(kernel: &Source, prelude: &Prelude, reduce: Reduce) -> Result<Composed, GpuError> {
    let mut joined = Joined { reduce, imports: kernel.imports, lines: Vec::new(), done: Vec::new() };
    joined.push("prelude", prelude.text())?;
    joined.push(kernel.file, kernel.text)?;
    let directive =
        |line: &Line| ["enable ", "requires ", "diagnostic("].iter().any(|d| line.text.starts_with(d));
    let (first, rest): (Vec<_>, Vec<_>) = joined.lines.into_iter().partition(directive);
    let mut out = Composed { source: String::new(), lines: Vec::new() };
    for line in first.into_iter().chain(rest) {
        out.source.push_str(&line.text);
        out.source.push('\n');
        out.lines.push((line.file, line.number));
    }
    Ok(out)
}

/// A line with where it came from.
struct Line {
    text: String,
    file: String,
    number: usize,
}

/// Files joined so far.
struct Joined {
    reduce: Reduce,
    imports: &'static [&'static [Import]],
    lines: Vec<Line>,
    /// What has been imported.
    done: Vec<String>,
}

impl Joined {
    fn push(&mut self, file: &str, text: &str) -> Result<(), GpuError> {
        for (i, line) in text.lines().enumerate() {
            if let Some(import) = line.strip_prefix("#import ") {
                let import = match import.trim() {
                    "reduce" => self.reduce.stem(),
                    other => other,
                };
                if self.done.iter().any(|d| d == import) {
                    continue;
                }
                self.done.push(import.to_string());
                let shader = |what| GpuError::Shader(file.into(), format!("{file}:{}: {what}", i + 1));
                let mut named = self.imports.iter().copied().flatten().filter(|found| found.name == import);
                let Some(found) = named.next() else {
                    return Err(shader(format!("no shared shader '{import}'")));
                };
                if let Some(other) = named.find(|other| other.text != found.text) {
                    return Err(shader(format!("'{import}' is {} and {}", found.file, other.file)));
                }
                self.push(found.file, found.text)?;
            } else {
                self.lines.push(Line { text: line.to_string(), file: file.to_string(), number: i + 1 });
            }
        }
        Ok(())
    }
}

/// The storage bindings declared in a composed source, in order: `@group(0) @binding(i) var<storage, …> name: …`.
pub fn bindings(source: &str) -> Vec<(String, Access)> {
    let mut found = Vec::new();
    for line in source.lines() {
        let Some(rest) = line.trim_start().strip_prefix("@group(0) @binding(") else { continue };
        let Some((index, rest)) = rest.split_once(')') else { continue };
        let access = if rest.contains("read_write") { Access::ReadWrite } else { Access::Read };
        let name = rest.split_once("> ").and_then(|(_, r)| r.split_once(':')).map_or("", |(n, _)| n.trim());
        if let Ok(i) = index.trim().parse::<usize>() {
            found.push((i, name.to_string(), access));
        }
    }
    found.sort_by_key(|f| f.0);
    found.into_iter().map(|(_, n, a)| (n, a)).collect()
}

impl Gpu {
    /// Compiles a kernel with its constants, or takes what was compiled from the same text before.
    ///
    /// # Errors
    /// [`GpuError::Shader`] with file and line if it cannot be composed or compiled, [`GpuError::Lost`] if the device
    /// is lost.
    pub fn kernel(&self, kernel: &Source, prelude: &Prelude) -> Result<Kernel, GpuError> {
        let (name, mut composed) = (kernel.name, compose(kernel, prelude, self.reduce)?);
        if self.uniforms.is_some() {
            composed.source = immediates_as_uniform(&composed.source);
        }
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name, composed.source.clone());
        if let Some(kernel) = compiled().get(&key) {
            return Ok(kernel.clone());
        }
        // Two threads may compile the same kernel at once; neither waits for the other.
        let kernel = self.compile_anew(name, &composed)?;
        compiled().insert(key, kernel.clone());
        Ok(kernel)
    }

    fn compile_anew(&self, name: &'static str, composed: &Composed) -> Result<Kernel, GpuError> {
        let bindings = bindings(&composed.source);
        let immediates = Immediates::of(&composed.source, self.uniforms.as_ref());
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(composed.source.as_str().into()),
        });
        let entries: Vec<_> = bindings
            .iter()
            .enumerate()
            .map(|(i, (_, access))| wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries,
        });
        let groups: Vec<_> = std::iter::once(&layout).chain(immediates.layout()).map(Some).collect();
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &groups,
            immediate_size: immediates.bytes(),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: None,
        });
        if let Some(e) = pollster::block_on(scope.pop()) {
            self.alive()?;
            return Err(GpuError::Shader(name.into(), located(&e.to_string(), composed)));
        }
        self.alive()?;
        Ok(Kernel { name, pipeline, layout, bindings, immediates })
    }
}

/// Puts "file:line" behind every "wgsl:LINE:" that naga printed.
fn located(message: &str, composed: &Composed) -> String {
    message
        .lines()
        .map(|l| {
            match l.split_once("wgsl:").and_then(|(_, r)| r.split_once(':')).and_then(|(n, _)| n.parse().ok())
            {
                Some(n) => format!("{l}   <- {}", composed.origin(n)),
                None => l.to_string(),
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// One kernel with its buffers, made once at start and recorded as often as needed.
pub struct Bound {
    name: &'static str,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    immediates: Immediates,
}

impl Kernel {
    /// Binds buffers in binding order. The buffers' labels are for error messages only.
    pub fn bind(&self, gpu: &Gpu, buffers: &[&wgpu::Buffer]) -> Bound {
        let names: Vec<_> = self.bindings.iter().map(|b| b.0.as_str()).collect();
        assert_eq!(buffers.len(), self.bindings.len(), "kernel '{}' has bindings {names:?}", self.name);
        let entries: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() })
            .collect();
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.layout,
            entries: &entries,
        });
        let immediates = self.immediates.clone();
        Bound { name: self.name, pipeline: self.pipeline.clone(), group, immediates }
    }
}

impl Bound {
    /// Records one dispatch of `groups` workgroups with up to eight immediates (missing ones are 0).
    pub fn record(&self, pass: &mut wgpu::ComputePass, groups: [u32; 3], immediates: &[u32]) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        self.immediates.set(pass, self.name, immediates);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
    }
}

/// Workgroups for `threads` threads of `wg` each, folded into two dimensions above the limit of 65,535 per dimension.
/// The kernel gets its linear index back from `linear_id` of `shaders/shared/index.wgsl`.
pub fn fold_groups(threads: usize, wg: usize) -> [u32; 3] {
    let groups = threads.div_ceil(wg).max(1);
    if groups <= 65_535 { [groups as u32, 1, 1] } else { [65_535, groups.div_ceil(65_535) as u32, 1] }
}

impl<T: Pod> AsRef<wgpu::Buffer> for Buf<T> {
    fn as_ref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPORTS: &[Import] = &[
        Import { name: "index", file: "shared/index.wgsl", text: "fn linear() -> u32 { return 7u; }\n" },
        Import { name: "twice", file: "shared/twice.wgsl", text: "#import index\n// twice\n" },
        Import { name: "reduce_tree", file: "shared/reduce_tree.wgsl", text: "// tree\n" },
        Import { name: "reduce_subgroups", file: "shared/reduce_subgroups.wgsl", text: "// subgroups\n" },
    ];

    fn composed(
        text: &'static str,
        imports: &'static [&'static [Import]],
        form: Reduce,
    ) -> Result<Composed, GpuError> {
        let source = Source { name: "half", file: "shaders/half.wgsl", text, imports };
        compose(&source, &Prelude::new().u32("WG", 64), form)
    }

    #[test]
    fn directives_go_first_and_lines_keep_their_origin() {
        let body = "// half: of its own.\nenable f16;\n#import index\nfn f() -> f16 { return 1.0h; }\n";
        let composed = composed(body, &[IMPORTS], Reduce::Tree).unwrap();
        let lines: Vec<_> = composed.source.lines().collect();
        assert_eq!(lines[..3], ["enable f16;", "const WG: u32 = 64u;", "// half: of its own."]);
        assert_eq!(composed.origin(1), "shaders/half.wgsl:2");
        assert_eq!(composed.origin(2), "prelude:1");
        assert_eq!(composed.origin(3), "shaders/half.wgsl:1");
        assert_eq!(composed.origin(4), "shared/index.wgsl:1");
        assert_eq!(composed.origin(lines.len()), "shaders/half.wgsl:4");
        assert_eq!(composed.source.matches("enable").count(), 1);
        naga::front::wgsl::parse_str(&composed.source).expect("naga takes it");
    }

    #[test]
    fn a_reduction_is_imported_in_the_form_that_was_asked_for() {
        for (form, other) in [(Reduce::Tree, Reduce::Subgroups), (Reduce::Subgroups, Reduce::Tree)] {
            let composed =
                composed("#import reduce\n#import reduce\nalias Sum = f32;\n", &[IMPORTS], form).unwrap();
            let from = |form: Reduce| {
                let file = format!("shared/{}.wgsl", form.stem());
                composed.lines.iter().filter(|(f, n)| *f == file && *n == 1).count()
            };
            assert_eq!((from(form), from(other)), (1, 0));
        }
    }

    /// A second library beside the first, as a task has, and one that contradicts it.
    #[test]
    fn imports_are_found_in_all_libraries_and_may_not_differ() {
        const OWN: &[Import] =
            &[Import { name: "road", file: "own/road.wgsl", text: "#import twice\n// road\n" }];
        const OTHER: &[Import] = &[Import { name: "index", file: "own/index.wgsl", text: "// another\n" }];
        let body = "#import index\n#import road\n";
        let source = composed(body, &[IMPORTS, OWN], Reduce::Tree).unwrap().source;
        assert_eq!([source.matches("linear").count(), source.matches("// twice\n// road").count()], [1, 1]);
        composed(body, &[IMPORTS, IMPORTS, OWN], Reduce::Tree).expect("the same text twice is one");
        let error =
            |imports| composed(body, imports, Reduce::Tree).err().expect("cannot be composed").to_string();
        assert!(error(&[IMPORTS]).contains("shaders/half.wgsl:2: no shared shader 'road'"));
        let differ = error(&[IMPORTS, OWN, OTHER]);
        assert!(differ.contains("'index' is shared/index.wgsl and own/index.wgsl"), "{differ}");
    }
}
