//! Samples → rows: medians with their intervals, throughput, what of the device's ceilings was reached, scaling, shares
//! of phases.

use super::samples::Benchmark;
use super::{Device, Section, Work};
use crate::num::stats::{self, Bootstrap, Interval};
use crate::run::rows::{BenchPhaseRow, BenchRow, BenchSampleRow, BenchScalingRow, text_of};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// Seed of the resamples behind every interval.
pub const BOOTSTRAP_SEED: u32 = 0;

/// Samples that lie further apart are of different runs: a ceiling of last week's says nothing of a kernel of today.
pub const SAME_RUN: Duration = Duration::from_secs(6 * 3600);

/// Everything that samples say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BenchRows {
    pub benchmarks: Vec<BenchRow>,
    pub samples: Vec<BenchSampleRow>,
    pub scaling: Vec<BenchScalingRow>,
    pub phases: Vec<BenchPhaseRow>,
}

/// Rows of all benchmarks, in the order of their keys.
pub fn rows(benchmarks: &[Benchmark]) -> BenchRows {
    let lengths: BTreeSet<usize> =
        benchmarks.iter().flat_map(|b| [b.wall_s.len(), device_seconds(b).len()]).collect();
    let resamples: BTreeMap<usize, Bootstrap> =
        lengths.into_iter().filter_map(|n| Some((n, Bootstrap::new(n, BOOTSTRAP_SEED)?))).collect();
    let ceilings = Ceilings::new(benchmarks);
    let mut rows: Vec<BenchRow> = benchmarks.par_iter().map(|b| row(b, &resamples, &ceilings)).collect();
    rows.sort_by_key(order);
    BenchRows {
        scaling: scaling(&rows),
        phases: phases(&rows),
        samples: benchmarks.iter().flat_map(samples).collect(),
        benchmarks: rows,
    }
}

fn order(r: &BenchRow) -> impl Ord + use<> {
    (r.device.clone(), r.section.clone(), r.group.clone(), r.replicas, r.batch, r.hidden, r.sizes.clone())
}

fn device_seconds(b: &Benchmark) -> &[f64] {
    b.record.device_time.as_ref().map_or(&[], |t| &t.seconds)
}

fn samples(b: &Benchmark) -> Vec<BenchSampleRow> {
    let row = |clock: &str, sample: usize, iterations: u64, seconds: f64| BenchSampleRow {
        device: b.record.device.slug.clone(),
        group: b.record.group.clone(),
        sizes: b.record.sizes_id(),
        clock: clock.into(),
        sample: sample as u32,
        iterations,
        seconds,
    };
    let wall = b.wall_s.iter().zip(&b.iterations).enumerate().map(|(i, (s, n))| row("wall", i, *n, *s));
    wall.chain(device_seconds(b).iter().enumerate().map(|(i, s)| row("device", i, 1, *s))).collect()
}

/// Kind of a device whose speed says nothing about GPUs.
pub const SOFTWARE: &str = "software-gpu";

/// Positive and finite, else nothing.
fn amount(x: Option<f64>) -> f64 {
    x.filter(|x| x.is_finite() && *x > 0.0).unwrap_or(f64::NAN)
}

/// Median of the times behind rates of operations and bytes: of the device where it has them, else wall time.
fn clocked(b: &Benchmark) -> (&'static str, f64) {
    match device_seconds(b) {
        [] => ("wall", stats::median(&b.wall_s)),
        seconds => ("device", stats::median(seconds)),
    }
}

/// One ceiling of one device.
struct Ceiling {
    slug: String,
    threads: Option<usize>,
    taken: SystemTime,
    /// Operations or bytes a second.
    per_s: f64,
}

/// What large matrix products and large copies reached.
struct Ceilings {
    flops: Vec<Ceiling>,
    bytes: Vec<Ceiling>,
}

impl Ceilings {
    fn new(benchmarks: &[Benchmark]) -> Self {
        let mut this = Ceilings { flops: Vec::new(), bytes: Vec::new() };
        for b in benchmarks.iter().filter(|b| b.record.section == Section::Ceiling) {
            let Work { flops, bytes, .. } = b.record.work;
            // A matrix product moves bytes too, but does not show how many a second the memory can.
            let (list, work) = match (amount(flops), amount(bytes)) {
                (flops, _) if !flops.is_nan() => (&mut this.flops, flops),
                (_, bytes) if !bytes.is_nan() => (&mut this.bytes, bytes),
                _ => continue,
            };
            let Device { slug, threads, .. } = b.record.device.clone();
            list.push(Ceiling { slug, threads, taken: b.taken, per_s: work / clocked(b).1 });
        }
        this
    }

    /// The highest of this device, with as many threads, in the run of `b`; NaN without any.
    fn of(list: &[Ceiling], b: &Benchmark) -> f64 {
        let (device, at) = (&b.record.device, b.taken);
        let same_run =
            |t: SystemTime| at.duration_since(t).or(t.duration_since(at)).is_ok_and(|d| d <= SAME_RUN);
        list.iter()
            .filter(|c| c.slug == device.slug && c.threads == device.threads && same_run(c.taken))
            .map(|c| c.per_s)
            .fold(f64::NAN, f64::max)
    }
}

/// Adds what a benchmark reached of its device's ceilings to its row, which has its speed.
fn under_roofline(mut row: BenchRow, b: &Benchmark, ceilings: &Ceilings) -> BenchRow {
    if b.record.section == Section::Ceiling {
        row.reason = "a ceiling itself".into();
        return row;
    }
    let (flops, bytes) = (Ceilings::of(&ceilings.flops, b), Ceilings::of(&ceilings.bytes, b));
    let (flops_per_s, bytes_per_s, intensity) = (row.flops_per_s, row.bytes_per_s, row.flops_per_byte);
    (row.ceiling_flops_per_s, row.ceiling_bytes_per_s) = (flops, bytes);
    row.compute_share = flops_per_s / flops;
    row.memory_share = bytes_per_s / bytes;
    if !(flops.is_nan() || bytes.is_nan() || intensity.is_nan()) {
        row.roofline_flops_per_s = flops.min(intensity * bytes);
        row.roofline_share = flops_per_s / row.roofline_flops_per_s;
        row.bound = if intensity * bytes < flops { "memory" } else { "compute" }.into();
    }
    let uncounted = flops_per_s.is_nan() && bytes_per_s.is_nan();
    let reason = match (uncounted, flops.is_nan(), bytes.is_nan()) {
        (true, ..) => "neither operations nor bytes are counted for it",
        (_, true, true) => "no ceiling of this device (and as many threads) in this run",
        (_, true, false) if bytes_per_s.is_nan() => "no compute ceiling in this run",
        (_, false, true) if flops_per_s.is_nan() => "no memory ceiling in this run",
        _ => "",
    };
    row.reason = reason.into();
    row
}

fn row(b: &Benchmark, resamples: &BTreeMap<usize, Bootstrap>, ceilings: &Ceilings) -> BenchRow {
    let r = &b.record;
    let time = |seconds: &[f64]| -> [f64; 3] {
        let interval = resamples.get(&seconds.len()).and_then(|x| x.median_interval(seconds));
        let Interval { lo, hi } = interval.unwrap_or(Interval { lo: f64::NAN, hi: f64::NAN });
        [stats::median(seconds), lo, hi]
    };
    let ([wall_s, wall_lo_s, wall_hi_s], [device_s, device_lo_s, device_hi_s]) =
        (time(&b.wall_s), time(device_seconds(b)));
    let (clock, seconds) = clocked(b);
    let (flops, bytes) = (amount(r.work.flops), amount(r.work.bytes));
    let size = |letter: &str| r.sizes.get(letter).and_then(|n| u32::try_from(*n).ok());
    let row = BenchRow {
        device: r.device.slug.clone(),
        device_name: r.device.name.clone(),
        device_kind: text_of(&r.device.kind),
        driver: r.device.driver.clone().unwrap_or_default(),
        threads: r.device.threads.and_then(|n| u32::try_from(n).ok()),
        section: text_of(&r.section),
        group: r.group.clone(),
        sizes: r.sizes_id(),
        task: r.task.clone().unwrap_or_default(),
        policy: r.policy.clone().unwrap_or_default(),
        replicas: size("R"),
        batch: size("B"),
        hidden: size("H"),
        check: r.check.clone().unwrap_or_default(),
        samples: b.wall_s.len() as u32,
        iterations: b.iterations.iter().sum(),
        wall_s,
        wall_lo_s,
        wall_hi_s,
        device_s,
        device_lo_s,
        device_hi_s,
        device_method: r.device_time.as_ref().map(|t| t.method.clone()).unwrap_or_default(),
        env_steps: amount(r.work.env_steps),
        inferences: amount(r.work.inferences),
        flops,
        bytes,
        env_steps_per_s: amount(r.work.env_steps) / wall_s,
        inferences_per_s: amount(r.work.inferences) / wall_s,
        clock: clock.into(),
        flops_per_s: flops / seconds,
        bytes_per_s: bytes / seconds,
        flops_per_byte: flops / bytes,
        taken_utc: humantime::format_rfc3339_seconds(b.taken).to_string(),
        ..BenchRow::default()
    };
    under_roofline(row, b, ceilings)
}

/// What a throughput is of: the first of them that the benchmark has, with the amount of one iteration.
pub fn quantity(r: &BenchRow) -> Option<(&'static str, f64)> {
    [("env_steps", r.env_steps), ("inferences", r.inferences), ("flops", r.flops), ("bytes", r.bytes)]
        .into_iter()
        .find(|q| !q.1.is_nan())
}

/// `sizes` without the letter `axis`.
pub fn without(sizes: &str, axis: &str) -> String {
    let rest = sizes.split(',').filter(|s| s.split_once('=').is_some_and(|(letter, _)| letter != axis));
    rest.collect::<Vec<_>>().join(",")
}

fn scaling(rows: &[BenchRow]) -> Vec<BenchScalingRow> {
    let mut out = Vec::new();
    for axis in ["B", "R"] {
        let size = |r: &BenchRow| if axis == "B" { r.batch } else { r.replicas };
        let mut lines: BTreeMap<(&str, &str, String), Vec<&BenchRow>> = BTreeMap::new();
        let moving = rows.iter().filter(|r| r.section != "ceiling" && r.section != "phase");
        for r in moving.filter(|r| size(r).is_some_and(|n| n > 0)) {
            lines.entry((&r.device, &r.group, without(&r.sizes, axis))).or_default().push(r);
        }
        for ((device, group, fixed), mut line) in lines {
            line.sort_by_key(|r| size(r));
            let Some((name, first)) = line.first().and_then(|r| quantity(r)) else { continue };
            if line.len() < 2 || line.iter().any(|r| quantity(r).is_none_or(|q| q.0 != name)) {
                continue;
            }
            let (rate0, size0) = (first / line[0].wall_s, f64::from(size(line[0]).unwrap_or(1)));
            for r in line {
                let (n, work) = (size(r).unwrap_or(1), quantity(r).map_or(f64::NAN, |q| q.1));
                let gain = work / r.wall_s / rate0;
                out.push(BenchScalingRow {
                    device: device.into(),
                    group: group.into(),
                    axis: axis.into(),
                    fixed: fixed.clone(),
                    size: n,
                    quantity: name.into(),
                    per_s: work / r.wall_s,
                    lo_per_s: work / r.wall_hi_s,
                    hi_per_s: work / r.wall_lo_s,
                    gain,
                    efficiency: gain / (f64::from(n) / size0),
                });
            }
        }
    }
    out
}

/// PHASE of the group `phase_PHASE_TASK_AGENT`.
fn phase_name(r: &BenchRow) -> &str {
    let name = r.group.strip_prefix("phase_").unwrap_or(&r.group);
    name.strip_suffix(&format!("_{}_{}", r.task, r.policy)).unwrap_or(name)
}

fn phases(rows: &[BenchRow]) -> Vec<BenchPhaseRow> {
    let mine = || rows.iter().filter(|r| r.section == "phase");
    let key = |r: &BenchRow| (r.device.clone(), r.task.clone(), r.policy.clone(), r.sizes.clone());
    let mut sums: BTreeMap<_, f64> = BTreeMap::new();
    mine().for_each(|r| *sums.entry(key(r)).or_default() += r.wall_s);
    let row = |r: &BenchRow| BenchPhaseRow {
        device: r.device.clone(),
        task: r.task.clone(),
        policy: r.policy.clone(),
        sizes: r.sizes.clone(),
        phase: phase_name(r).into(),
        wall_s: r.wall_s,
        share: r.wall_s / sums[&key(r)],
    };
    mine().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::tests::{cpu, record};
    use super::super::{DeviceTime, Record};
    use super::*;

    fn bench(record: Record, wall_s: &[f64]) -> Benchmark {
        let iterations = vec![2; wall_s.len()];
        Benchmark {
            record,
            wall_s: wall_s.to_vec(),
            iterations,
            taken: SystemTime::UNIX_EPOCH + Duration::from_secs(1e9 as u64),
        }
    }

    fn with(mut r: Record, work: Work) -> Record {
        r.work = work;
        r
    }

    fn flops(n: f64) -> Work {
        Work { flops: Some(n), ..Work::default() }
    }

    fn bytes(n: f64) -> Work {
        Work { bytes: Some(n), ..Work::default() }
    }

    /// 100 GFLOP/s and 10 GB/s.
    fn ceilings() -> Vec<Benchmark> {
        let product = Work { bytes: Some(1.0), ..flops(2e11) };
        vec![
            bench(
                with(record("ceiling_matmul", Section::Ceiling, &[("M", 2048)]), product),
                &[2.0, 2.0, 2.0],
            ),
            bench(with(record("ceiling_copy", Section::Ceiling, &[("N", 1)]), bytes(1e9)), &[0.1, 0.1, 0.1]),
        ]
    }

    fn find<'a>(rows: &'a BenchRows, group: &str) -> &'a BenchRow {
        rows.benchmarks.iter().find(|r| r.group == group).unwrap()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn a_row_by_hand() {
        let work =
            Work { env_steps: Some(300.0), inferences: Some(600.0), flops: Some(8e9), bytes: Some(2e9) };
        let mut r = with(record("rollout", Section::Rollout, &[("R", 2), ("B", 64), ("H", 8)]), work);
        (r.task, r.policy) = (Some("v2x".into()), Some("ppo".into()));
        let mut all = ceilings();
        all.push(bench(r, &[3.0, 1.0, 2.0]));
        let rows = rows(&all);
        let r = find(&rows, "rollout");
        assert_eq!((r.device.as_str(), r.device_kind.as_str(), r.threads), ("cpu", "cpu", Some(2)));
        assert_eq!((r.section.as_str(), r.task.as_str(), r.policy.as_str()), ("rollout", "v2x", "ppo"));
        assert_eq!(
            (r.replicas, r.batch, r.hidden, r.sizes.as_str()),
            (Some(2), Some(64), Some(8), "R=2,B=64,H=8")
        );
        assert_eq!((r.samples, r.iterations, r.clock.as_str()), (3, 6, "wall"));
        // Median 2 s; medians of resamples of three values reach from the least to the largest.
        assert_eq!((r.wall_s, r.wall_lo_s, r.wall_hi_s), (2.0, 1.0, 3.0));
        assert!(r.device_s.is_nan() && r.device_method.is_empty());
        close(r.env_steps_per_s, 150.0);
        close(r.inferences_per_s, 300.0);
        close(r.flops_per_s, 4e9);
        close(r.bytes_per_s, 1e9);
        close(r.flops_per_byte, 4.0);
        close(r.ceiling_flops_per_s, 1e11);
        close(r.ceiling_bytes_per_s, 1e10);
        // 4 FLOP/byte · 10 GB/s = 40 GFLOP/s lie below 100.
        close(r.roofline_flops_per_s, 4e10);
        close(r.compute_share, 0.04);
        close(r.memory_share, 0.1);
        close(r.roofline_share, 0.1);
        assert_eq!((r.bound.as_str(), r.reason.as_str()), ("memory", ""));
        assert_eq!(r.taken_utc, "2001-09-09T01:46:40Z");
        assert_eq!(rows.samples.iter().filter(|s| s.group == "rollout").count(), 3);
    }

    #[test]
    fn time_of_the_device_stands_behind_rates_of_operations() {
        let mut r = with(record("gae", Section::Kernel, &[("B", 1)]), flops(1e9));
        r.work.env_steps = Some(10.0);
        r.device_time = Some(DeviceTime { method: "timestamps".into(), seconds: vec![0.5, 0.25, 0.5] });
        let mut all = ceilings();
        all.push(bench(r, &[1.0, 1.0]));
        let rows = rows(&all);
        let r = find(&rows, "gae");
        assert_eq!((r.clock.as_str(), r.device_s, r.device_method.as_str()), ("device", 0.5, "timestamps"));
        close(r.flops_per_s, 2e9);
        close(r.env_steps_per_s, 10.0);
        close(r.compute_share, 0.02);
        let times: Vec<_> = rows.samples.iter().filter(|s| s.group == "gae" && s.clock == "device").collect();
        assert_eq!((times.len(), times[1].seconds, times[1].iterations), (3, 0.25, 1));
    }

    #[test]
    fn a_ceiling_counts_for_its_device_threads_and_run_only() {
        let kernel = |device: Device, later: u64| {
            let mut b = bench(with(record("gae", Section::Kernel, &[("B", 1)]), flops(1e9)), &[1.0, 1.0]);
            b.record.device = device;
            b.taken += Duration::from_secs(later);
            let mut all = ceilings();
            all.push(b);
            find(&rows(&all), "gae").clone()
        };
        let share = |device, later| kernel(device, later).compute_share;
        close(share(cpu(), 3600), 0.01);
        let missing = [
            kernel(cpu(), 7 * 3600),
            kernel(Device { threads: Some(1), ..cpu() }, 0),
            kernel(Device { slug: "other".into(), ..cpu() }, 0),
        ];
        for r in missing {
            assert!(r.compute_share.is_nan() && r.reason.contains("no ceiling"), "{r:?}");
        }
        // The best of several; a ceiling is not held against itself.
        let mut all = ceilings();
        all.push(bench(
            with(record("ceiling_other", Section::Ceiling, &[("M", 64)]), flops(4e11)),
            &[1.0, 1.0],
        ));
        all.push(bench(with(record("gae", Section::Kernel, &[("B", 1)]), flops(1e9)), &[1.0, 1.0]));
        let rows = rows(&all);
        close(find(&rows, "gae").compute_share, 0.0025);
        assert!(find(&rows, "ceiling_matmul").compute_share.is_nan());
        assert_eq!(find(&rows, "ceiling_matmul").reason, "a ceiling itself");
    }

    #[test]
    fn what_is_not_counted_is_null_with_a_reason() {
        let mut all = ceilings();
        all.push(bench(record("gae", Section::Kernel, &[]), &[1.0]));
        all.push(bench(with(record("copy", Section::Kernel, &[]), bytes(5e9)), &[1.0, 1.0]));
        all.push(bench(with(record("zero", Section::Kernel, &[]), flops(0.0)), &[1.0, 1.0]));
        let rows = rows(&all);
        let (gae, copy) = (find(&rows, "gae"), find(&rows, "copy"));
        assert!(
            gae.flops.is_nan() && gae.compute_share.is_nan() && gae.reason.contains("neither"),
            "{gae:?}"
        );
        assert!(gae.wall_lo_s.is_nan(), "one sample has no interval");
        close(copy.memory_share, 0.5);
        assert!(copy.roofline_share.is_nan() && copy.bound.is_empty() && copy.reason.is_empty(), "{copy:?}");
        assert!(find(&rows, "zero").flops.is_nan(), "no operations are none counted, not a speed of 0");
    }

    #[test]
    fn scaling_along_batch_and_replicas() {
        let run = |r: u64, b: u64, s: f64| {
            let steps = Work { env_steps: Some((r * b * 100) as f64), ..Work::default() };
            bench(with(record("physics", Section::Physics, &[("R", r), ("B", b)]), steps), &[s, s])
        };
        // Twice the environments in the same time, then twice in twice the time; B = 256 of another R has no partner.
        let rows = rows(&[run(1, 256, 1.0), run(1, 64, 1.0), run(1, 128, 1.0), run(4, 256, 1.0)]);
        let line: Vec<_> = rows.scaling.iter().filter(|s| s.axis == "B").collect();
        assert_eq!(line.iter().map(|s| s.size).collect::<Vec<_>>(), [64, 128, 256]);
        assert!(line.iter().all(|s| s.fixed == "R=1" && s.quantity == "env_steps"), "{line:?}");
        assert_eq!(line.iter().map(|s| s.gain).collect::<Vec<_>>(), [1.0, 2.0, 4.0]);
        assert_eq!(line.iter().map(|s| s.efficiency).collect::<Vec<_>>(), [1.0, 1.0, 1.0]);
        assert_eq!((line[2].per_s, line[2].lo_per_s), (25_600.0, 25_600.0));
        let line: Vec<_> = rows.scaling.iter().filter(|s| s.axis == "R").collect();
        assert_eq!(line.iter().map(|s| (s.size, s.gain)).collect::<Vec<_>>(), [(1, 1.0), (4, 4.0)]);
        assert_eq!(line[0].fixed, "B=256");
        assert_eq!(without("R=1,B=64,H=8", "B"), "R=1,H=8");
    }

    #[test]
    fn phases_add_up_within_one_update() {
        let phase = |phase: &str, b: u64, s: f64| {
            let mut r = record(&format!("phase_{phase}_v2x_spiking-ac"), Section::Phase, &[("B", b)]);
            (r.task, r.policy) = (Some("v2x".into()), Some("spiking-ac".into()));
            bench(r, &[s, s])
        };
        let rows = rows(&[
            phase("rollout", 64, 1.0),
            phase("gae", 64, 0.25),
            phase("update", 64, 2.75),
            phase("rollout", 128, 1.0),
            phase("readback", 128, 3.0),
        ]);
        let share = |phase: &str, sizes: &str| {
            rows.phases.iter().find(|p| p.phase == phase && p.sizes == sizes).unwrap().share
        };
        close(share("rollout", "B=64"), 0.25);
        close(share("gae", "B=64"), 0.0625);
        close(share("update", "B=64"), 0.6875);
        close(share("readback", "B=128"), 0.75);
    }
}
