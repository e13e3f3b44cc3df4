//! Two sets of benchmarks against each other: ratios of speed with their intervals, and a verdict for each.

use super::analysis::{BOOTSTRAP_SEED, SOFTWARE};
use crate::num::stats::{self, Interval};
use crate::run::rows::{BenchRow, BenchSampleRow};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Differences below this share are noise: they come and go with the layout of a binary in memory.
pub const NOISE: f64 = 0.01;

/// One folder of results.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub rows: Vec<BenchRow>,
    pub samples: Vec<BenchSampleRow>,
}

/// How B stands to A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Faster,
    Slower,
    NotDistinguishable,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::NotDistinguishable => "not distinguishable",
        })
    }
}

/// One benchmark in both sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub group: String,
    pub sizes: String,
    pub device_a: String,
    pub device_b: String,
    /// What `a_per_s` and `b_per_s` count: `env_steps`, `inferences`, or `iterations` where neither set has them.
    pub quantity: &'static str,
    pub a_per_s: f64,
    pub b_per_s: f64,
    /// `device` for kernels whose device time both sets have, else `wall`.
    pub clock: &'static str,
    /// Speed of B over that of A.
    pub ratio: f64,
    /// 95 % bootstrap interval of the ratio of medians.
    pub interval: Option<Interval>,
    pub verdict: Verdict,
    /// Both are of software adapters.
    pub software: bool,
}

/// Which benchmark of which device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub group: String,
    pub sizes: String,
    pub device: String,
}

/// All of two sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub pairs: Vec<Pair>,
    pub only_a: Vec<Place>,
    pub only_b: Vec<Place>,
    /// In both, but not of the same work.
    pub unlike: Vec<(Place, String)>,
}

impl Comparison {
    /// Pairs of real devices of which B is surely slower than `ratio` times A: the whole interval lies below it.
    pub fn below(&self, ratio: f64) -> impl Iterator<Item = &Pair> {
        let surely = move |p: &&Pair| p.interval.map_or(p.ratio, |i| i.hi) < ratio;
        self.pairs.iter().filter(|p| !p.software).filter(surely)
    }
}

/// Matches benchmarks by group and sizes: on the same device where both sets have it, else on the only devices that are
/// left in both. A software adapter is matched with itself only.
pub fn compare(a: &Set, b: &Set) -> Comparison {
    type ById<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a BenchRow>>;
    fn by_id(set: &Set) -> ById<'_> {
        let mut out = ById::new();
        for r in &set.rows {
            out.entry((&r.group, &r.sizes)).or_default().push(r);
        }
        out
    }
    let (in_a, mut in_b) = (by_id(a), by_id(b));
    let mut matched: Vec<(&BenchRow, &BenchRow)> = Vec::new();
    let mut out = Comparison::default();
    let place =
        |r: &BenchRow| Place { group: r.group.clone(), sizes: r.sizes.clone(), device: r.device.clone() };
    for (id, mut mine) in in_a {
        let mut theirs = in_b.remove(&id).unwrap_or_default();
        mine.retain(|r| {
            let same = theirs.iter().position(|t| (&t.device, &t.device_kind) == (&r.device, &r.device_kind));
            if let Some(i) = same {
                matched.push((*r, theirs.remove(i)));
            }
            same.is_none()
        });
        let real = |r: &&BenchRow| r.device_kind != SOFTWARE;
        let (left, right): (Vec<_>, Vec<_>) =
            (mine.iter().copied().filter(real).collect(), theirs.iter().copied().filter(real).collect());
        if let ([x], [y]) = (&left[..], &right[..]) {
            matched.push((*x, *y));
            mine.retain(|r| !real(r));
            theirs.retain(|r| !real(r));
        }
        out.only_a.extend(mine.into_iter().map(place));
        out.only_b.extend(theirs.into_iter().map(place));
    }
    out.only_b.extend(in_b.into_values().flatten().map(place));
    let samples = (Samples::new(a), Samples::new(b));
    let pairs: Vec<_> = matched.par_iter().map(|(x, y)| (place(x), pair(x, y, &samples))).collect();
    for (place, pair) in pairs {
        match pair {
            Ok(p) => out.pairs.push(p),
            Err(why) => out.unlike.push((place, why)),
        }
    }
    // What is surely slower first, then what is not distinguishable, then what is faster; within these the slowest.
    // Sizes keep the order of their numbers that the rows came in.
    let order = |p: &Pair| match p.verdict {
        Verdict::Slower => 0,
        Verdict::NotDistinguishable => 1,
        Verdict::Faster => 2,
    };
    let key = |p: &Pair| (p.software, order(p));
    out.pairs.sort_by(|p, q| key(p).cmp(&key(q)).then(p.ratio.total_cmp(&q.ratio)));
    out.only_a.sort();
    out.only_b.sort();
    out
}

/// Times by device, group, sizes and clock, s.
struct Samples(BTreeMap<[String; 4], Vec<f64>>);

impl Samples {
    fn new(set: &Set) -> Self {
        let mut out: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for s in &set.samples {
            out.entry([&s.device, &s.group, &s.sizes, &s.clock].map(String::clone))
                .or_default()
                .push(s.seconds);
        }
        Samples(out)
    }

    fn of(&self, r: &BenchRow, clock: &str) -> &[f64] {
        let [device, group, sizes] = [&r.device, &r.group, &r.sizes].map(String::clone);
        self.0.get(&[device, group, sizes, clock.into()]).map_or(&[], Vec::as_slice)
    }
}

fn pair(a: &BenchRow, b: &BenchRow, samples: &(Samples, Samples)) -> Result<Pair, String> {
    let works = [("env_steps", a.env_steps, b.env_steps), ("inferences", a.inferences, b.inferences)];
    let counted = works.iter().find(|w| !w.1.is_nan() || !w.2.is_nan());
    let (quantity, work_a, work_b) = match counted {
        Some((name, x, y)) if x.is_nan() || y.is_nan() => {
            return Err(format!("only one of both counts its {name}"));
        }
        Some(w) => *w,
        None => ("iterations", 1.0, 1.0),
    };
    let both_have_device = !a.device_s.is_nan() && !b.device_s.is_nan();
    let (clock, a_s, b_s) = match a.section == "kernel" && both_have_device {
        true => ("device", a.device_s, b.device_s),
        false => ("wall", a.wall_s, b.wall_s),
    };
    let (a_per_s, b_per_s) = (work_a / a_s, work_b / b_s);
    let ratio = b_per_s / a_per_s;
    if !ratio.is_finite() || ratio <= 0.0 {
        return Err(format!("times of {a_s} s and {b_s} s"));
    }
    let (of_a, of_b) = (samples.0.of(a, clock), samples.1.of(b, clock));
    let per_time = stats::bootstrap_median_ratio_95(of_a, of_b, BOOTSTRAP_SEED);
    let interval = per_time.map(|i| i.map(|x| x * work_b / work_a));
    Ok(Pair {
        group: a.group.clone(),
        sizes: a.sizes.clone(),
        device_a: a.device.clone(),
        device_b: b.device.clone(),
        quantity,
        a_per_s,
        b_per_s,
        clock,
        ratio,
        interval,
        verdict: match interval {
            Some(i) if i.lo > 1.0 + NOISE => Verdict::Faster,
            Some(i) if i.hi < 1.0 - NOISE => Verdict::Slower,
            _ => Verdict::NotDistinguishable,
        },
        software: a.device_kind == SOFTWARE,
    })
}

#[cfg(test)]
mod tests {
    use super::super::analysis;
    use super::super::samples::Benchmark;
    use super::super::samples::tests::{cpu, record};
    use super::super::{Device, DeviceKind, DeviceTime, Section, Work};
    use super::*;
    use std::time::SystemTime;

    fn gpu(slug: &str, kind: DeviceKind) -> Device {
        Device {
            slug: slug.into(),
            name: slug.to_uppercase(),
            kind,
            driver: Some("1.0".into()),
            threads: None,
        }
    }

    fn bench(device: Device, group: &str, b: u64, wall_s: &[f64]) -> Benchmark {
        let mut r = record(group, Section::Kernel, &[("B", b)]);
        r.device = device;
        Benchmark {
            record: r,
            wall_s: wall_s.to_vec(),
            iterations: vec![1; wall_s.len()],
            taken: SystemTime::now(),
        }
    }

    fn set(all: &[Benchmark]) -> Set {
        let rows = analysis::rows(all);
        Set { rows: rows.benchmarks, samples: rows.samples }
    }

    fn times(around: f64, spread: f64) -> Vec<f64> {
        (0..20).map(|i| around * (1.0 + spread * (f64::from(i % 5) - 2.0))).collect()
    }

    #[test]
    fn verdicts_follow_the_interval() {
        let one = |a: &[f64], b: &[f64]| {
            let c = compare(&set(&[bench(cpu(), "gae", 1, a)]), &set(&[bench(cpu(), "gae", 1, b)]));
            assert_eq!((c.pairs.len(), c.only_a.len(), c.only_b.len()), (1, 0, 0));
            c.pairs[0].clone()
        };
        let half = one(&times(2.0, 0.001), &times(1.0, 0.001));
        assert!((half.ratio - 2.0).abs() < 1e-12 && half.verdict == Verdict::Faster, "{half:?}");
        let i = half.interval.unwrap();
        assert!(i.lo < 2.0 && 2.0 < i.hi && i.hi - i.lo < 0.02, "{i:?}");
        assert_eq!(one(&times(1.0, 0.001), &times(2.0, 0.001)).verdict, Verdict::Slower);
        // Ten percent within samples that spread by 40 %; half a percent, however sure; a single sample.
        assert_eq!(one(&times(1.1, 0.2), &times(1.0, 0.2)).verdict, Verdict::NotDistinguishable);
        let small = one(&times(1.005, 0.0001), &times(1.0, 0.0001));
        assert!(
            small.interval.unwrap().lo > 1.0 && small.verdict == Verdict::NotDistinguishable,
            "{small:?}"
        );
        let single = one(&[2.0], &[1.0]);
        assert_eq!((single.interval, single.verdict), (None, Verdict::NotDistinguishable));
    }

    #[test]
    fn devices_may_differ_where_it_is_clear_which_is_meant() {
        let (h200, a100) = (gpu("h200", DeviceKind::Gpu), gpu("a100", DeviceKind::Gpu));
        let t = times(1.0, 0.01);
        let b = |d: &Device, n: u64| bench(d.clone(), "gae", n, &t);
        let a = set(&[b(&cpu(), 1), b(&h200, 1), b(&cpu(), 2), b(&h200, 3), b(&cpu(), 3)]);
        let other =
            set(&[b(&cpu(), 1), b(&a100, 1), b(&a100, 3), b(&gpu("xe", DeviceKind::Gpu), 3), b(&cpu(), 4)]);
        let c = compare(&a, &other);
        let mut devices: Vec<_> =
            c.pairs.iter().map(|p| (p.sizes.as_str(), p.device_a.as_str(), p.device_b.as_str())).collect();
        devices.sort();
        // B=3: two devices are left on both sides, and nothing says which belong together.
        assert_eq!(devices, [("B=1", "cpu", "cpu"), ("B=1", "h200", "a100")]);
        let names = |v: &[Place]| v.iter().map(|p| format!("{} {}", p.sizes, p.device)).collect::<Vec<_>>();
        assert_eq!(names(&c.only_a), ["B=2 cpu", "B=3 cpu", "B=3 h200"]);
        assert_eq!(names(&c.only_b), ["B=3 a100", "B=3 xe", "B=4 cpu"]);
    }

    #[test]
    fn a_software_adapter_is_never_matched_with_a_device() {
        let soft = gpu("llvmpipe", DeviceKind::SoftwareGpu);
        let t = times(1.0, 0.01);
        let c = compare(
            &set(&[bench(soft.clone(), "gae", 1, &t)]),
            &set(&[bench(gpu("h200", DeviceKind::Gpu), "gae", 1, &t)]),
        );
        assert_eq!((c.pairs.len(), c.only_a.len(), c.only_b.len()), (0, 1, 1));
        // Nor if a GPU had its name.
        let named = gpu("llvmpipe", DeviceKind::Gpu);
        let c = compare(&set(&[bench(soft.clone(), "gae", 1, &t)]), &set(&[bench(named, "gae", 1, &t)]));
        assert_eq!((c.pairs.len(), c.only_a.len()), (0, 1));
        let slow = set(&[bench(soft.clone(), "gae", 1, &times(9.0, 0.01))]);
        let c = compare(&set(&[bench(soft, "gae", 1, &t)]), &slow);
        assert!(c.pairs[0].software && c.pairs[0].verdict == Verdict::Slower);
        assert_eq!(c.below(0.9).count(), 0);
    }

    #[test]
    fn throughput_is_compared_where_the_work_of_an_iteration_differs() {
        let run = |steps: Option<f64>, s: f64| {
            let mut b = bench(cpu(), "physics", 1, &times(s, 0.001));
            b.record.work = Work { env_steps: steps, ..Work::default() };
            set(&[b])
        };
        // Ten times the steps in five times the time: twice as fast.
        let c = compare(&run(Some(100.0), 1.0), &run(Some(1000.0), 5.0));
        let p = &c.pairs[0];
        assert!((p.ratio - 2.0).abs() < 1e-12 && p.verdict == Verdict::Faster, "{p:?}");
        assert!(p.interval.unwrap().lo > 1.9 && p.interval.unwrap().hi < 2.1, "{p:?}");
        assert_eq!((p.quantity, p.a_per_s, p.b_per_s), ("env_steps", 100.0, 200.0));
        let c = compare(&run(Some(100.0), 1.0), &run(None, 1.0));
        assert_eq!(c.pairs.len(), 0);
        assert!(c.unlike[0].1.contains("env_steps"), "{:?}", c.unlike);
    }

    #[test]
    fn kernels_are_compared_by_the_time_of_the_device() {
        let run = |wall: f64, device: f64| {
            let mut b = bench(gpu("h200", DeviceKind::Gpu), "gae", 1, &times(wall, 0.001));
            b.record.device_time = Some(DeviceTime { method: "t".into(), seconds: times(device, 0.001) });
            set(&[b])
        };
        let c = compare(&run(1.0, 0.1), &run(1.0, 0.05));
        assert_eq!((c.pairs[0].clock, c.pairs[0].verdict), ("device", Verdict::Faster));
    }

    #[test]
    fn what_is_surely_below_a_ratio() {
        let a = set(&[bench(cpu(), "gae", 1, &times(1.0, 0.001)), bench(cpu(), "adam", 1, &times(1.0, 0.2))]);
        let b =
            set(&[bench(cpu(), "gae", 1, &times(1.25, 0.001)), bench(cpu(), "adam", 1, &times(1.25, 0.2))]);
        let c = compare(&a, &b);
        let below = |r: f64| c.below(r).map(|p| p.group.as_str()).collect::<Vec<_>>();
        // Both medians are at 0.8, but only that of gae surely.
        assert_eq!(below(0.85), ["gae"]);
        assert!(below(0.7).is_empty());
    }
}
