//! A live page's plan, executed as its JavaScript does from the JSON that it is given, on this device: nothing of the
//! stored words differs, and every agent of it earns something.

use crate::common::gpu_or_skip;
use isacbench::gpu::{Gpu, wgpu};
use isacbench::report::live::{Trained, Words};
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::task::Task;
use isacbench::tasks::v2x::config::V2xConfig;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;

const STRIDE: u64 = 256;

/// The page of a checkpoint of weights, as JSON.
fn page(bytes: &[u8]) -> Value {
    let saved = Checkpoint::<V2xConfig>::from_bytes(bytes, "weights".into()).unwrap().weights_of([0]);
    let (agent, algorithm) = (saved.agent.clone(), saved.algorithm());
    let trained = Trained { agent, algorithm, params: saved.state.params, about: String::new() };
    let live = saved.config.live(&trained, None, 48).expect("a page").unwrap();
    serde_json::to_value(&live).unwrap()
}

fn number(v: &Value) -> usize {
    v.as_u64().unwrap_or_else(|| panic!("{v} is no number")) as usize
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap_or_else(|| panic!("{v} is no list"))
}

fn words(v: &Value) -> Vec<u32> {
    serde_json::from_value::<Words>(v.clone()).unwrap().to_vec()
}

/// What `Engine` of live.js is.
struct Engine<'a> {
    gpu: &'a Gpu,
    plan: &'a Value,
    buffers: Vec<wgpu::Buffer>,
    words: wgpu::BindGroupLayout,
    /// Software Vulkan takes a second to compile some of them.
    compiled: RefCell<HashMap<usize, (wgpu::BindGroupLayout, wgpu::ComputePipeline)>>,
}

impl<'a> Engine<'a> {
    fn new(gpu: &'a Gpu, plan: &'a Value) -> Self {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = |a: &Value| {
            let size = 4 * number(&a["len"]) as u64;
            let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
            let buffer = gpu.device.create_buffer(&descriptor);
            if !a["data"].is_null() {
                gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words(&a["data"])));
            }
            buffer
        };
        let entry = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let layout = wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry] };
        let words = gpu.device.create_bind_group_layout(&layout);
        Engine {
            gpu,
            plan,
            buffers: list(&plan["arrays"]).iter().map(buffer).collect(),
            words,
            compiled: RefCell::default(),
        }
    }

    fn group(&self, layout: &wgpu::BindGroupLayout, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() })
            .collect();
        self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        })
    }

    /// A kernel's layout and pipeline.
    fn compile(&self, kernel: usize) -> (wgpu::BindGroupLayout, wgpu::ComputePipeline) {
        let device = &self.gpu.device;
        let kernel = &self.plan["kernels"][kernel];
        let text = self.plan["texts"][number(&kernel["text"])].as_str().unwrap();
        let source = kernel["prelude"].as_str().unwrap().to_string() + text;
        let name = kernel["name"].as_str().unwrap();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let entry = |(i, writes): (usize, &Value)| wgpu::BindGroupLayoutEntry {
            binding: i as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: !writes.as_bool().unwrap() },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<_> = list(&kernel["writes"]).iter().enumerate().map(entry).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout), Some(&self.words)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: None,
        });
        (layout, pipeline)
    }

    fn run(&self, dispatches: &Value, clock: u32, slot: u32) {
        let device = &self.gpu.device;
        for d in list(dispatches) {
            let kernel = number(&d["kernel"]);
            let mut compiled = self.compiled.borrow_mut();
            let (layout, pipeline) = compiled.entry(kernel).or_insert_with(|| self.compile(kernel));
            let word = |w: &Value| {
                let [base, by_clock, by_slot] = [0, 1, 2].map(|i| number(&w[i]) as u32);
                base.wrapping_add(by_clock.wrapping_mul(clock)).wrapping_add(by_slot.wrapping_mul(slot))
            };
            let mut given: Vec<u32> = list(&d["words"]).iter().map(word).collect();
            given.resize(STRIDE as usize / 4, 0);
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let descriptor =
                wgpu::BufferDescriptor { label: None, size: STRIDE, usage, mapped_at_creation: false };
            let uniform = device.create_buffer(&descriptor);
            self.gpu.queue.write_buffer(&uniform, 0, bytemuck::cast_slice(&given));
            let arrays: Vec<_> = list(&d["arrays"]).iter().map(|a| &self.buffers[number(a)]).collect();
            let groups = [self.group(layout, &arrays), self.group(&self.words, &[&uniform])];
            let size = [0, 1, 2].map(|i| number(&d["groups"][i]) as u32);
            self.gpu
                .run(|pass| {
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, &groups[0], &[]);
                    pass.set_bind_group(1, &groups[1], &[]);
                    pass.dispatch_workgroups(size[0], size[1], size[2]);
                })
                .unwrap();
        }
    }

    /// The first `len` words of an array.
    fn read(&self, array: &Value, len: usize) -> Vec<u32> {
        let size = 4 * len as u64;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let back = self.gpu.device.create_buffer(&descriptor);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.buffers[number(array)], 0, &back, 0, size);
        let submitted = self.gpu.queue.submit([encoder.finish()]);
        back.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        self.gpu.wait(submitted).unwrap();
        bytemuck::cast_slice(&back.get_mapped_range(..).unwrap()).to_vec()
    }

    /// How many words were compared, and that none differs.
    fn check(&self, check: &Value) -> usize {
        let stored = |i: &Value| words(&self.plan["stored"][number(i)]);
        for w in list(&check["writes"]) {
            let data = stored(&w["words"]);
            self.gpu.queue.write_buffer(&self.buffers[number(&w["array"])], 0, bytemuck::cast_slice(&data));
        }
        for r in list(&check["runs"]) {
            self.run(&r["dispatches"], number(&r["clock"]) as u32, number(&r["slot"]) as u32);
        }
        let mut compared = 0;
        for e in list(&check["expects"]) {
            let want = stored(&e["words"]);
            let got = self.read(&e["array"], want.len());
            compared += want.len();
            if e["tolerance"].is_null() {
                let mask = number(&e["mask"]) as u32;
                let differ = got.iter().zip(&want).filter(|(x, y)| (*x ^ *y) & mask != 0).count();
                assert_eq!(differ, 0, "of {} words of {}", want.len(), check["what"]);
                continue;
            }
            for ((got, want), most) in got.iter().zip(&want).zip(stored(&e["tolerance"])) {
                let [got, want, most] = [*got, *want, most].map(f32::from_bits);
                assert!((got - want).abs() <= most, "{got} is not {want}, to {most}");
            }
        }
        compared
    }
}

/// Policies of every kind that a page can have.
#[test]
fn the_plan_gives_the_stored_words() {
    let Some(gpu) = gpu_or_skip() else { return };
    let file =
        |name: &str| std::fs::read(format!("{}/tests/networks/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let inside = V2xConfig::LIVE_POLICY.unwrap().to_vec();
    for bytes in [inside, file("v2x-ppo.safetensors"), file("v2x-spiking-ac.safetensors")] {
        let live = page(&bytes);
        let engine = Engine::new(gpu, &live["plan"]);
        assert!(engine.check(&live["check"]) > 3000);
        let programs = list(&live["agents"][0]["programs"]);
        for program in programs.iter().step_by(5) {
            assert!(engine.check(&program["check"]) > 100);
        }
    }
}

/// A few slots of each agent: a rate above 0 and below the bound.
#[test]
fn every_agent_of_a_page_earns_something() {
    let Some(gpu) = gpu_or_skip() else { return };
    let live = page(V2xConfig::LIVE_POLICY.unwrap());
    let engine = Engine::new(gpu, &live["plan"]);
    let rows = number(&live["rows"]);
    for agent in list(&live["agents"]) {
        let program = &agent["programs"][number(&agent["first"])];
        engine.run(&live["reset"], 0, 0);
        (0..3).for_each(|slot| engine.run(&program["slot"], slot, slot));
        let sums = engine.read(&live["sums"], 3 * 2 * rows);
        for slot in 0..3 {
            let of = |curve: usize| {
                let row = number(&live["curves"][curve]["row"]);
                f32::from_bits(sums[2 * (slot * rows + row)]) / number(&live["envs"]) as f32
            };
            let [rate, bound] = [of(0), of(1)];
            assert!(5.0 < rate && rate < bound && bound < 40.0, "{}: {rate} of {bound}", agent["id"]);
        }
    }
}
