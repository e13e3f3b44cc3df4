//! The live page without a browser: its kernels are what every browser takes, and the words that it stores are those of
//! the CPU twins.

use isacbench::config::Layered;
use isacbench::learn::network::forward_cpu;
use isacbench::num::stats::once;
use isacbench::report::live::{Check, Live, Stored, Trained, Words};
use isacbench::run::actor::{Actor, Decided, Mode};
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::task::Task;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::kernels::v2x_batch;
use isacbench::tasks::v2x::kernels::v2x_reset::{self, v2x_reset_cpu};
use isacbench::tasks::v2x::kernels::v2x_step::{self, v2x_step_cpu};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage};

const ENVS: usize = 48;

/// The page of a checkpoint, and what it was made of.
fn page(file: Option<&str>, sets: &[&str]) -> (Live, Checkpoint<V2xConfig>, V2xConfig) {
    let inside = V2xConfig::LIVE_POLICY.expect("the task has a policy for its page");
    let saved = match file {
        Some(name) => {
            let path = format!("{}/tests/networks/{name}", env!("CARGO_MANIFEST_DIR"));
            Checkpoint::<V2xConfig>::load(path.as_ref()).unwrap()
        }
        None => Checkpoint::from_bytes(inside, "inside".into()).unwrap(),
    };
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let config = saved.config.with(&sets).unwrap();
    let saved = saved.weights_of([0]);
    let (agent, algorithm) = (saved.agent.clone(), saved.algorithm());
    let trained = Trained { agent, algorithm, params: saved.state.params.clone(), about: String::new() };
    let live = config.live(&trained, None, ENVS).expect("a page").unwrap();
    (live, saved, config)
}

fn floats(words: &Words) -> Vec<f32> {
    words.to_vec().into_iter().map(f32::from_bits).collect()
}

fn stored(live: &Live, words: Stored) -> Vec<f32> {
    live.plan.words(words).into_iter().map(f32::from_bits).collect()
}

/// WebGPU promises no more than this to every page that asks for nothing.
#[test]
fn kernels_keep_to_what_every_browser_has() {
    let (mut checked, mut names) = (0, Vec::new());
    for live in [
        page(None, &[]).0,
        page(Some("v2x-ppo.safetensors"), &[]).0,
        page(Some("v2x-spiking-ac.safetensors"), &[]).0,
    ] {
        for (name, source) in live.plan.shaders() {
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{name}:\n{}", e.emit_to_string(&source)));
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{name}: {e:?}"));
            let spaces: Vec<_> = module.global_variables.iter().map(|(_, v)| v).collect();
            let count = |is: fn(&AddressSpace) -> bool| spaces.iter().filter(|v| is(&v.space)).count();
            assert_eq!(count(|s| matches!(s, AddressSpace::Immediate)), 0, "{name} has immediates");
            assert!(count(|s| matches!(s, AddressSpace::Storage { .. })) <= 8, "{name}: storage buffers");
            let uniforms: Vec<_> = spaces.iter().filter(|v| v.space == AddressSpace::Uniform).collect();
            assert!(uniforms.len() <= 1, "{name}: {} uniforms", uniforms.len());
            for v in uniforms {
                let at = v.binding.as_ref().expect("a uniform is bound");
                assert_eq!((at.group, at.binding), (1, 0), "{name}");
            }
            let shared: u32 = spaces
                .iter()
                .filter(|v| v.space == AddressSpace::WorkGroup)
                .map(|v| module.types[v.ty].inner.size(module.to_ctx()))
                .sum();
            assert!(shared <= 16_384, "{name}: {shared} bytes of workgroup memory");
            let entry =
                module.entry_points.iter().find(|e| e.name == name).expect("an entry point of its name");
            assert_eq!(entry.stage, ShaderStage::Compute);
            let threads: u32 = entry.workgroup_size.iter().product();
            assert!((1..=256).contains(&threads), "{name}: {threads} threads");
            names.push(name);
            checked += 1;
        }
    }
    let names = once(names);
    for name in [
        "v2x_reset",
        "v2x_step",
        "v2x_reference",
        "metrics_reduce",
        "dense_forward",
        "lif_forward",
        "spike_forward",
        "gaussian_head",
    ] {
        assert!(names.contains(&name), "{name} is on no page: {names:?}");
    }
    assert!(checked > 30, "16 numbers of spike steps are so many constants of their kernels: {checked}");
}

/// The slots across an episode's end, once more from the stored actions.
#[test]
fn stored_words_of_the_physics_are_those_of_the_twin() {
    let (live, _, config) = page(None, &["task.p_max_dbm=31", "task.slots=7"]);
    let spec = v2x_batch::Spec { r: 1, b: ENVS, task: config.task.spec() };
    let params = [config.task.params([config.evaluate.seed, 0])];
    let Check { writes, runs, expects, .. } = &live.check;
    let (actions, b) = (stored(&live, writes[0].words), ENVS);
    let (mut state, mut obs) = (vec![0f32; spec.state_len()], vec![0f32; spec.obs_len()]);
    let (mut final_obs, mut metrics) = (vec![0f32; spec.obs_len()], vec![0f32; spec.metrics_len()]);
    let (mut reward, mut flags) = (vec![0f32; 4 * b], vec![0u32; 4 * b]);
    assert_eq!(runs.iter().map(|r| r.clock).collect::<Vec<_>>(), [5, 5, 6, 7, 8], "across the end of slot 6");
    v2x_reset_cpu(&spec, &v2x_reset::Args { clock: 5, obs_off: 0 }, &params, &mut state, &mut obs);
    for run in &runs[1..] {
        let step = &run.dispatches[0];
        let words: Vec<usize> = step.words.iter().map(|w| w.at(run.clock, run.slot) as usize).collect();
        let [clock, action_off, obs_off, reward_off, full] = words[..] else { panic!("{words:?}") };
        let at = v2x_step::Args { clock: clock as u32, action_off, obs_off, reward_off, full: full != 0 };
        v2x_step_cpu(
            &spec,
            &at,
            &params,
            &actions,
            &mut state,
            &mut obs,
            &mut final_obs,
            &mut reward,
            &mut flags,
            &mut metrics,
        );
    }
    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }
    let want = [bits(&state), bits(&obs), bits(&final_obs), bits(&reward), flags.clone(), bits(&metrics)];
    for (expect, want) in expects.iter().zip(&want) {
        assert_eq!((expect.mask, expect.tolerance.is_none()), (u32::MAX, true));
        assert_eq!(live.plan.words(expect.words), *want);
        assert_eq!(live.plan.len(expect.array), want.len());
    }
    assert!(final_obs.iter().any(|x| *x != 0.0) && flags.iter().any(|f| *f != 0), "an episode ended");
}

/// What the policy must do on the stored observations is what the fast layers of the CPU do, at the trained number of
/// spike steps, and what the twins in f32 do at every other.
#[test]
fn stored_words_of_the_policy_are_those_of_the_cpu() {
    for (file, sets) in
        [(None, &[][..]), (Some("v2x-ppo.safetensors"), &[]), (Some("v2x-spiking-ac.safetensors"), &[])]
    {
        let (live, saved, _) = page(file, sets);
        let driver = &live.agents[0];
        let policy = saved.algorithm().policy().unwrap();
        for program in &driver.programs {
            let check = program.check.as_ref().unwrap();
            let obs = stored(&live, check.writes[0].words);
            let m = obs.len() / policy.net.inputs();
            assert!((16..=32).contains(&m), "{m} observations");
            let (expect, spikes) = check.expects.split_last().unwrap();
            let (want, tolerance) = (stored(&live, expect.words), stored(&live, expect.tolerance.unwrap()));
            let mut net = policy.net.clone();
            if let (Some(lif), Some(steps)) = (&mut net.lif, program.steps) {
                lif.steps = steps;
            }
            let h = forward_cpu::<f32>(&net, (1, m), &saved.state.params, &obs);
            close(h.last().unwrap(), &want, &tolerance);
            if net == policy.net {
                let (actor, mut action) =
                    (Actor::new(&saved.algorithm(), &saved.state.params), vec![0.0; want.len()]);
                let mode = Mode { greedy: true, key: [0, 0], clock: 0 };
                actor.act(&obs, mode, &mut [], Decided { action: &mut action, phases: None });
                close(&action, &want, &tolerance);
            }
            assert_eq!(spikes.len(), if net.lif.is_some() { net.layers.len() - 1 } else { 0 });
            for (spikes, u) in spikes.iter().zip(&h[1..]) {
                let lif = net.lif.unwrap();
                let n = u.len() / m / lif.steps;
                let words = live.plan.words(spikes.words);
                assert_eq!((words.len(), spikes.mask), (m * n, (1 << lif.steps) - 1));
                for (e, word) in words.iter().enumerate() {
                    for t in 0..lif.steps {
                        let fires = f64::from(u[(e / n * lif.steps + t) * n + e % n]) >= lif.threshold;
                        assert_eq!(word >> t & 1 == 1, fires, "neuron {e} at step {t} of {}", lif.steps);
                    }
                }
                assert!(words.iter().any(|w| *w != 0), "something fires");
            }
        }
    }
}

fn close(got: &[f32], want: &[f32], tolerance: &[f32]) {
    assert_eq!(got.len(), want.len());
    for ((got, want), most) in got.iter().zip(want).zip(tolerance) {
        let off = (got - want).abs();
        assert!(off <= *most && *most < 1e-3, "{off} is beyond {most}");
    }
}

/// Sliders change what their key changes, each by itself, and nothing where they stand at first.
#[test]
fn sliders_are_the_keys_of_the_configuration() {
    let (live, _, config) = page(None, &[]);
    let base = live.plan.data(live.controls[0].array).unwrap().to_vec();
    let key = [config.evaluate.seed, 0];
    let mut touched: Vec<usize> = Vec::new();
    for control in &live.controls {
        assert!(control.words[control.first].is_empty(), "{}", control.id);
        for (value, words) in control.values.iter().zip(&control.words) {
            let mut task = config.task.clone();
            match control.id {
                "power" => task.p_max_dbm = *value,
                _ if *value == 12.0 => {}
                _ => task.speed_m_s = [value - 2.0, value + 2.0].map(|v: f64| v.max(0.0)),
            }
            let mut mine = base.clone();
            words.iter().for_each(|(at, word)| mine[*at] = *word);
            assert_eq!(
                mine,
                bytemuck::cast_slice::<_, u32>(&[task.params(key)]),
                "{} at {value}",
                control.id
            );
        }
        let own = once(control.words.iter().flatten().map(|w| w.0));
        assert!(!own.is_empty() && own.iter().all(|at| !touched.contains(at)), "{}", control.id);
        touched.extend(own);
    }
}

/// The recorded run is whole.
#[test]
fn the_recorded_run_has_every_slot() {
    let (live, _, config) = page(None, &[]);
    let (r, spec) = (&live.recorded, config.task.spec());
    let lengths = [&r.states, &r.actions, &r.metrics, &r.means].map(|w| floats(w).len());
    let rows = [spec.state_rows() * (r.slots + 1), spec.action_dim() * r.slots, spec.metric_rows() * r.slots];
    assert_eq!(lengths, [rows[0], rows[1], rows[2], live.curves.len() * r.slots]);
    let means = floats(&r.means);
    assert!(means.chunks(2).all(|m| 0.0 < m[0] && m[0] < m[1]), "rates lie below the bound");
    // A policy that was trained: the mean of an untrained one is below 1.
    let mean = means.iter().step_by(2).sum::<f32>() / r.slots as f32;
    assert!(mean > 20.0, "the policy inside the program earns {mean} bps/Hz at 40 dBm");
}
