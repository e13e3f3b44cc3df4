//! Golden vectors of SpikingJelly: leaky integrate-and-fire neurons, and spiking networks forward and backward.

use super::networks::{CONVENTIONS, NEURONS, Network, REPLICAS, both};
use super::{Backend, Case, GoldenError, Rows, Scalar, Vectors, wide};
use crate::gpu::{Fill, Gpu, GpuError};
use crate::kernels::compare::{compare, compare_exact};
use crate::kernels::lif_backward::{self, Upstream};
use crate::kernels::lif_forward::{self, CarriedAt, Current, LeakAt};
use crate::kernels::{Comparison, Tol};
use crate::nets::{Hidden, Lif, Population};

/// `[A, B, N]` as `[B, A, N]`.
fn swapped<T: Copy>(x: &[T], a: usize, b: usize) -> Vec<T> {
    let n = x.len() / (a * b);
    (0..b).flat_map(|j| (0..a).flat_map(move |i| x[(i * b + j) * n..][..n].iter().copied())).collect()
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

// ---- lif_neuron ----

/// M samples of N neurons with a current, then a gradient by the spikes, per step `[M, S, N]`.
struct Drive {
    lif: Lif,
    m: usize,
    n: usize,
    current: Vec<f64>,
}

/// Potentials before the reset `[M, S, N]` and spike words `[M, N]`.
struct Driven {
    u: Vec<f64>,
    words: Vec<u32>,
}

impl Drive {
    fn forward_spec(&self, r: usize) -> lif_forward::Spec {
        let &Drive { lif, m, n, .. } = self;
        lif_forward::Spec { r, m, n, lif, current: Current::PerStep, keep: true, trace: false }
    }
    fn backward_spec(&self, r: usize) -> lif_backward::Spec {
        let &Drive { lif, m, n, .. } = self;
        lif_backward::Spec { r, m, n, lif, current: Current::PerStep, upstream: Upstream::Spikes }
    }

    fn twin<F: Scalar>(&self) -> Driven {
        let (mut words, mut u) = (vec![0; self.m * self.n], vec![F::splat(f64::NAN); self.current.len()]);
        let current: Vec<F> = self.current.iter().map(|&i| F::splat(i)).collect();
        lif_forward::lif_forward_cpu(
            &self.forward_spec(1),
            self.m,
            CarriedAt::default(),
            &[],
            &current,
            &mut words,
            &mut u,
            &mut [],
            &mut [],
        );
        Driven { u: wide(&u), words }
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<Driven, GpuError> {
        let (r, neurons) = (REPLICAS, self.m * self.n);
        let current =
            gpu.upload("golden.current", &[r, self.current.len()], &both(&narrow(&self.current)))?;
        let words = gpu.alloc::<u32>("golden.words", &[r, neurons], Fill::Poison)?;
        let u = gpu.alloc::<f32>("golden.u", &[r, self.current.len()], Fill::Poison)?;
        let kernel = lif_forward::LifForward::new(gpu, &self.forward_spec(r))?;
        let bound = kernel.bind(gpu, None, &current, &words, Some(&u), None, None)?;
        gpu.run(|pass| bound.record(pass, self.m, LeakAt::default(), CarriedAt::default()))?;
        Ok(Driven {
            u: wide(&gpu.read(&u)?[..self.current.len()]),
            words: gpu.read(&words)?[..neurons].to_vec(),
        })
    }

    /// Gradient by the currents `[M, S, N]` from the one by the spikes.
    fn twin_back<F: Scalar>(&self, u: &[f64], upstream: &[f64]) -> Vec<f64> {
        let [u, upstream] = [u, upstream].map(|x| x.iter().map(|&x| F::splat(x)).collect::<Vec<F>>());
        let mut d = vec![F::splat(f64::NAN); u.len()];
        let (spec, zero, at) = (self.backward_spec(1), F::splat(0.0), CarriedAt::default());
        lif_backward::lif_backward_cpu(&spec, self.m, at, zero, &[], &u, &upstream, &mut d, &mut [], &[]);
        wide(&d)
    }

    fn gpu_back(&self, gpu: &Gpu, u: &[f64], upstream: &[f64]) -> Result<Vec<f64>, GpuError> {
        let (r, len) = (REPLICAS, u.len());
        let u = gpu.upload("golden.u", &[r, len], &both(&narrow(u)))?;
        let upstream = gpu.upload("golden.upstream", &[r, len], &both(&narrow(upstream)))?;
        let d = gpu.alloc::<f32>("golden.d", &[r, len], Fill::Poison)?;
        let kernel = lif_backward::LifBackward::new(gpu, &self.backward_spec(r))?;
        let bound = kernel.bind(gpu, None, &u, &upstream, &d, None, None)?;
        gpu.run(|pass| bound.record(pass, self.m, 0.0, LeakAt::default(), CarriedAt::default()))?;
        Ok(wide(&gpu.read(&d)?[..len]))
    }
}

/// V after the reset.
fn after_reset(lif: &Lif, u: f64) -> f64 {
    if u >= lif.threshold { lif.reset } else { u }
}

/// What the file's neurons have and a network's have not: a potential V(0) and a gradient by the last V. The former is
/// a share (1−λ)/λ·V(0) of the first current, the latter a gradient by the spike of one further step, whose surrogate
/// it is divided by.
pub(super) fn lif_neuron(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [t, b, n] = v.dims("cur")?;
    let steps = t + 1;
    let lif = Lif { steps, ..NEURONS };
    let leak = 1.0 - lif.lambda;
    let (v0, up_v) = (v.f32("v0", &[b, n])?, v.f32("up_v", &[b, n])?);
    let further = |x: Vec<f32>, last: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let mut x = wide(&x);
        x.extend((0..b * n).map(last));
        swapped(&x, steps, b)
    };
    let mut current = further(v.f32("cur", &[t, b, n])?, &|_| 0.0);
    for (e, &v0) in v0.iter().enumerate() {
        current[e / n * steps * n + e % n] += leak / lif.lambda * f64::from(v0);
    }
    let drive = Drive { lif, m: b, n, current };
    let judge = drive.twin::<f64>();
    let at = |e: usize, t: usize| (e / n * steps + t) * n + e % n;
    let upstream = further(v.f32("up_s", &[t, b, n])?, &|e| {
        let x = std::f64::consts::FRAC_PI_2 * lif.eta * (judge.u[at(e, t)] - lif.threshold);
        f64::from(up_v[e]) / (leak * 0.5 * lif.eta) * (1.0 + x * x)
    });

    // The surrogate alone: one step at U = U_th + x, gradient 1 by its spike.
    let [points] = v.dims("surrogate.x")?;
    let x = v.f32("surrogate.x", &[points])?;
    let one = Drive { lif: Lif { steps: 1, ..lif }, m: 1, n: points, current: Vec::new() };
    let at_x: Vec<f64> = x.iter().map(|&x| lif.threshold + f64::from(x)).collect();
    // Ties, one neuron a row: the same bits on every backend.
    let [neurons, tie_steps] = v.dims("tie.cur")?;
    let tie = Drive {
        lif: Lif { steps: tie_steps, ..lif },
        m: neurons,
        n: 1,
        current: wide(&v.f32("tie.cur", &[neurons, tie_steps])?),
    };

    let mut compare = |backend,
                       got: Driven,
                       d: [Vec<f64>; 2],
                       surrogate: Vec<f64>,
                       ties: Driven|
     -> Result<(), GoldenError> {
        let of_file = |x: &[f64]| swapped(x, b, steps)[..t * b * n].to_vec();
        let u = of_file(&got.u);
        rows.tensor_dev(v, backend, "u", &u)?;
        rows.tensor_dev(v, backend, "v", &u.iter().map(|&u| after_reset(&lif, u)).collect::<Vec<_>>())?;
        let fired: Vec<f64> =
            (0..t * b * n).map(|k| f64::from(got.words[k % (b * n)] >> (k / (b * n)) & 1)).collect();
        rows.tensor(v, backend, "s", &fired, 0.0)?;
        let up_s = v.f32("up_s", &[t, b, n])?;
        let last = |e: usize| after_reset(&lif, got.u[at(e, t - 1)]);
        let loss = fired.iter().zip(&up_s).map(|(s, &up)| s * f64::from(up)).sum::<f64>()
            + up_v.iter().enumerate().map(|(e, &up)| f64::from(up) * last(e)).sum::<f64>();
        rows.tensor_dev(v, backend, "loss", &[loss])?;
        for ((name, _), d) in CONVENTIONS.into_iter().zip(&d) {
            rows.tensor_dev(v, backend, &format!("grad_{name}.cur"), &of_file(d))?;
            let by_v0: Vec<f64> = (0..b * n).map(|e| d[at(e, 0)] * leak / lif.lambda).collect();
            rows.tensor_dev(v, backend, &format!("grad_{name}.v0"), &by_v0)?;
        }
        let slope: Vec<f64> = surrogate.iter().map(|d| d / lif.lambda).collect();
        rows.tensor_dev(v, backend, "surrogate.dphi", &slope)?;
        let bits = |x: &[f64]| x.iter().map(|&x| (x as f32).to_bits()).collect::<Vec<_>>();
        let want = |name: &str| -> Result<Vec<u32>, GoldenError> {
            Ok(v.f32(name, &[neurons, tie_steps])?.into_iter().map(f32::to_bits).collect())
        };
        rows.push(backend, compare_exact("tie.u", &bits(&ties.u), &want("tie.u")?));
        let tied = |k: usize| f64::from(ties.words[k / tie_steps] >> (k % tie_steps) & 1);
        let tied: Vec<f64> = (0..neurons * tie_steps).map(tied).collect();
        rows.push(backend, compare_exact("tie.s", &bits(&tied), &want("tie.s")?));
        let after: Vec<f64> = ties.u.iter().map(|&u| after_reset(&lif, u)).collect();
        rows.push(backend, compare_exact("tie.v", &bits(&after), &want("tie.v")?));
        Ok(())
    };
    let conventions = CONVENTIONS.map(|(_, detach_reset)| Drive {
        lif: Lif { detach_reset, ..lif },
        current: Vec::new(),
        ..drive
    });
    let ones = vec![1.0; points];
    compare(
        Backend::CpuF64,
        drive.twin::<f64>(),
        conventions.each_ref().map(|d| d.twin_back::<f64>(&judge.u, &upstream)),
        one.twin_back::<f64>(&at_x, &ones),
        tie.twin::<f64>(),
    )?;
    let single = drive.twin::<f32>();
    let d = conventions.each_ref().map(|d| d.twin_back::<f32>(&single.u, &upstream));
    compare(Backend::CpuF32, single, d, one.twin_back::<f32>(&at_x, &ones), tie.twin::<f32>())?;
    if let Some(gpu) = gpu {
        let got = drive.on_gpu(gpu)?;
        let [detach0, detach1] = &conventions;
        let d = [detach0.gpu_back(gpu, &got.u, &upstream)?, detach1.gpu_back(gpu, &got.u, &upstream)?];
        compare(Backend::Gpu, got, d, one.gpu_back(gpu, &at_x, &ones)?, tie.on_gpu(gpu)?)?;
    }
    Ok(rows)
}

// ---- snn_actor, snn_critic, snn_natural, snn_population, snn_leaks ----

/// A spike may differ where the reference's potential is this close to the threshold.
const MARGIN: f64 = 1e-5;
/// And at most this share of spikes may.
const EXEMPT: f64 = 1e-4;

/// Spikes `[B, S, N]` of all layers against the file's potentials: whether each sample agrees, and what was compared.
fn compare_spikes(
    v: &Vectors,
    lif: &Lif,
    b: usize,
    layers: &[Vec<bool>],
) -> Result<(Vec<bool>, Vec<Comparison>), GoldenError> {
    let mut agrees = vec![true; b];
    let (mut wrong, mut free, mut all) = (0, 0, 0);
    for (l, got) in layers.iter().enumerate() {
        let n = got.len() / (b * lif.steps);
        let u = swapped(&v.f32(&format!("u{}", l + 1), &[lif.steps, b, n])?, lif.steps, b);
        let s = swapped(&v.f32(&format!("s{}", l + 1), &[lif.steps, b, n])?, lif.steps, b);
        for (k, (&got, &want)) in got.iter().zip(&s).enumerate() {
            let sample = &mut agrees[k / (lif.steps * n)];
            if f32::from(u8::from(got)) != want {
                let near = (f64::from(u[k]) - lif.threshold).abs() < MARGIN;
                // A sample whose spike was free goes its own way.
                if *sample && !near {
                    wrong += 1;
                }
                free += usize::from(near);
                *sample = false;
            }
        }
        all += got.len();
    }
    let cap = Tol {
        abs: EXEMPT * all as f64,
        rel: 0.0,
        why: "spikes that differ within 1e-5 of their threshold, at most one in ten thousand",
    };
    let rows = vec![
        compare_exact("spikes that differ", &[wrong], &[0]),
        compare("spikes that differ within the margin", &[free as f32], &[0.0], cap),
    ];
    Ok((agrees, rows))
}

pub(super) fn snn(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    networks(v, gpu, |lif| lif.into())
}

/// The same behind neurons that encode the inputs, as many as the file has for each.
pub(super) fn snn_population(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let [_, fields] = v.dims("population.centre")?;
    if fields == 0 {
        return Err(v.problem("population.centre", "has no neurons"));
    }
    networks(v, gpu, |lif| Hidden::Encoded(lif, Population::new(fields, &lif)))
}

/// The same with leaks that are learned.
pub(super) fn snn_leaks(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    networks(v, gpu, |lif| Lif { learn_leak: true, ..lif }.into())
}

fn networks(v: &Vectors, gpu: Option<&Gpu>, neurons: impl Fn(Lif) -> Hidden) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let steps = v.steps()?;
    for (name, detach_reset) in CONVENTIONS {
        let lif = Lif { steps, detach_reset, ..NEURONS };
        let case = Network::of(v, neurons(lif))?;
        let b = case.m;
        case.each(gpu, |backend, pass| {
            let (agrees, spikes) = compare_spikes(v, &lif, b, &pass.spikes)?;
            for c in spikes {
                rows.push(backend, c);
            }
            // Samples that went their own way are not compared.
            let only = |got: &[f64], want: &[f32]| -> Vec<f64> {
                let per = got.len() / b;
                let pick = |(k, &x): (usize, &f64)| if agrees[k / per] { x } else { want[k].into() };
                got.iter().enumerate().map(pick).collect()
            };
            for (l, u) in pass.hidden.iter().enumerate() {
                let Some(u) = u else { continue };
                // [S, B, N] in the file.
                let name = format!("u{}", l + 1);
                let u = only(u, &swapped(&v.f32s(&name, u.len())?, steps, b));
                rows.tensor_dev(v, backend, &name, &swapped(&u, b, steps))?;
            }
            let grad = |t: &str| format!("grad_{name}.{t}");
            // Nothing goes back to inputs that are encoded.
            let dx = (!pass.dx.is_empty()).then(|| (grad("x"), &pass.dx));
            for (name, got) in std::iter::once(("out".to_string(), &pass.out)).chain(dx) {
                rows.tensor_dev(v, backend, &name, &only(got, &v.f32s(&name, got.len())?))?;
            }
            // Weights see all samples.
            if agrees.iter().all(|&a| a) {
                for t in case.net.tensors("") {
                    rows.tensor_dev(v, backend, &grad(&t.name), &pass.grads[t.range()])?;
                }
            }
            Ok(())
        })?;
    }
    Ok(rows)
}
