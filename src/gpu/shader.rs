//! From `shaders/*.wgsl` to a kernel that can be recorded: `#import`, the constant prelude, the binding layout read from the
//! WGSL text itself, and errors that name the file and line.

use super::{Buf, Gpu, GpuError, Reduce};
use bytemuck::Pod;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

macro_rules! shader_table {
    ($($dir:literal: $($name:literal),* $(,)?);* $(;)?) => {
        &[$($(($name, include_str!(concat!("../../shaders/", $dir, $name, ".wgsl")))),*),*]
    };
}

/// Every kernel: stem = entry point = file name.
pub const SHADERS: &[(&str, &str)] = shader_table!["":
    "philox_fill",
    "dense_forward",
    "dense_forward_f16",
    "lif_forward",
    "spike_forward",
    "activity_count",
    "lstm_forward",
    "lstm_backward",
    "gaussian_head",
    "bernoulli_head",
    "bernoulli_policy_loss",
    "dense_backward_input",
    "dense_backward_weights",
    "lif_backward",
    "spike_backward_weights",
    "grad_reduce",
    "column_sum",
    "grad_norm",
    "adam",
    "normal_fill",
    "math_eval",
    "gae",
    "minibatch_gather",
    "minibatch_scalars",
    "advantage_stats",
    "ppo_policy_loss",
    "ppo_value_loss",
        "obs_mask",
    "slot_gather",
    "expert_mix",
    "expert_mix_backward",
    "grad_join",
    "value_iteration",
    "ddpg_act",
    "dqn_act",
    "replay_write",
    "replay_gather",
    "critic_input",
    "td_loss",
    "critic_input_backward",
    "polyak",
    "metrics_reduce",
    "metrics_accumulate";
"v2x/":
    "v2x_reset",
    "v2x_step",
    "v2x_slots",
    "v2x_rollout",
    "v2x_reference";
"misac/":
    "misac_reset",
    "misac_step",
    "misac_gain",
    "misac_schedule",
    "spatial_loss",
    "misac_accumulate"];

/// What `#import` can name.
pub const SHARED: &[(&str, &str)] = shader_table!["shared/":
    "activation",
    "index",
    "lif",
    "math",
    "minibatch",
    "philox",
    "reduce_subgroups",
    "reduce_tree",
    "dense_layer",
    "tile",
    "tile_results",
    "shuffle";
"v2x/shared/":
    "v2x",
    "v2x_slot",
    "v2x_write";
"misac/shared/":
    "misac",
    "misac_beam",
    "misac_write"];

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

/// Joins prelude, imports (each once, in order of first mention) and the kernel of `shaders/`, behind the directives of all of them
/// (`enable f16;`), which WGSL wants first. `#import reduce` takes the form `reduce`.
pub fn compose(name: &str, prelude: &Prelude, reduce: Reduce) -> Result<Composed, GpuError> {
    let body = SHADERS
        .iter()
        .find(|(n, _)| *n == name)
        .ok_or_else(|| GpuError::Shader(name.into(), "no such file in shaders/".into()))?
        .1;
    compose_from(name, body, prelude, reduce)
}

/// As [`compose`], with the kernel's text from elsewhere.
pub fn compose_from(name: &str, body: &str, prelude: &Prelude, reduce: Reduce) -> Result<Composed, GpuError> {
    let mut joined = Joined { reduce, lines: Vec::new(), done: Vec::new() };
    joined.push("prelude", prelude.text())?;
    joined.push(&format!("shaders/{name}.wgsl"), body)?;
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
                let (_, text) = SHARED.iter().find(|(n, _)| *n == import).ok_or_else(|| {
                    GpuError::Shader(file.into(), format!("{file}:{}: no shared shader '{import}'", i + 1))
                })?;
                self.push(&format!("shaders/shared/{import}.wgsl"), text)?;
            } else {
                self.lines.push(Line { text: line.to_string(), file: file.to_string(), number: i + 1 });
            }
        }
        Ok(())
    }
}

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
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

/// Kernels by their name and their whole text, which holds their constants. Learners, sweeps and tests ask for the same ones again and again;
/// one is some ten kilobytes here and some ten milliseconds to make.
pub(super) type Compiled = Arc<Mutex<HashMap<(&'static str, String), Kernel>>>;

/// A compiled pipeline with its binding layout.
#[derive(Clone)]
pub struct Kernel {
    pub name: &'static str,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    bindings: Vec<(String, Access)>,
    immediates: u32,
}

/// Bytes of immediates every kernel may use: eight u32.
pub const IMMEDIATE_BYTES: u32 = 32;

impl Gpu {
    /// Compiles kernel `name` of `shaders/` with its constants.
    pub fn kernel(&self, name: &'static str, prelude: &Prelude) -> Result<Kernel, GpuError> {
        self.compile(name, &compose(name, prelude, self.reduce)?)
    }

    /// Compiles the WGSL text `source`, whose entry point is `name` and which may import what is in `shaders/shared/`.
    pub fn kernel_from(
        &self,
        name: &'static str,
        source: &str,
        prelude: &Prelude,
    ) -> Result<Kernel, GpuError> {
        self.compile(name, &compose_from(name, source, prelude, self.reduce)?)
    }

    fn compile(&self, name: &'static str, composed: &Composed) -> Result<Kernel, GpuError> {
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name, composed.source.clone());
        if let Some(kernel) = compiled().get(&key) {
            return Ok(kernel.clone());
        }
        // Two threads may compile the same kernel at once; neither waits for the other.
        let kernel = self.compile_anew(name, composed)?;
        compiled().insert(key, kernel.clone());
        Ok(kernel)
    }

    fn compile_anew(&self, name: &'static str, composed: &Composed) -> Result<Kernel, GpuError> {
        let bindings = bindings(&composed.source);
        let immediates = if composed.source.contains("var<immediate>") { IMMEDIATE_BYTES } else { 0 };
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
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: immediates,
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
    immediates: u32,
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
        Bound { name: self.name, pipeline: self.pipeline.clone(), group, immediates: self.immediates }
    }
}

impl Bound {
    /// Records one dispatch of `groups` workgroups with up to eight immediates (missing ones are 0).
    pub fn record(&self, pass: &mut wgpu::ComputePass, groups: [u32; 3], immediates: &[u32]) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        if self.immediates > 0 {
            let mut words = [0u32; IMMEDIATE_BYTES as usize / 4];
            words[..immediates.len()].copy_from_slice(immediates);
            pass.set_immediates(0, bytemuck::bytes_of(&words));
        } else {
            assert!(immediates.is_empty(), "kernel '{}' takes no immediates", self.name);
        }
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
    }
}

/// Workgroups for `threads` threads of `wg` each, folded into two dimensions above the limit of 65,535 per dimension. The
/// kernel gets its linear index back from `linear_id` of `shaders/shared/index.wgsl`.
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

    #[test]
    fn directives_go_first_and_lines_keep_their_origin() {
        let body = "// half: of its own.\nenable f16;\n#import index\nfn f() -> f16 { return 1.0h; }\n";
        let composed = compose_from("half", body, &Prelude::new().u32("WG", 64), Reduce::Tree).unwrap();
        let lines: Vec<_> = composed.source.lines().collect();
        assert_eq!(lines[..3], ["enable f16;", "const WG: u32 = 64u;", "// half: of its own."]);
        assert_eq!(composed.origin(1), "shaders/half.wgsl:2");
        assert_eq!(composed.origin(2), "prelude:1");
        assert_eq!(composed.origin(3), "shaders/half.wgsl:1");
        assert_eq!(composed.origin(4), "shaders/shared/index.wgsl:1");
        assert_eq!(composed.origin(lines.len()), "shaders/half.wgsl:4");
        assert_eq!(composed.source.matches("enable").count(), 1);
        naga::front::wgsl::parse_str(&composed.source).expect("naga takes it");
    }

    #[test]
    fn a_reduction_is_imported_in_the_form_that_was_asked_for() {
        for (form, other) in [(Reduce::Tree, Reduce::Subgroups), (Reduce::Subgroups, Reduce::Tree)] {
            let body = "#import reduce\n#import reduce\nalias Sum = f32;\n";
            let composed = compose_from("any", body, &Prelude::new(), form).unwrap();
            let from = |form: Reduce| {
                let file = format!("shaders/shared/{}.wgsl", form.stem());
                composed.lines.iter().filter(|(f, n)| *f == file && *n == 1).count()
            };
            assert_eq!((from(form), from(other)), (1, 0));
        }
    }
}
