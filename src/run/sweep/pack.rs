//! Points of equal shape side by side along the replica axis.

use crate::gpu::GpuError;
use crate::run::errors::JobError;
use std::ops::Range;

/// Batches of point indices: points of equal shape together, in the order in which the shapes come first, as many
/// points as make at most `most` replicas with `seeds` each (at least one point), and batches of one shape about
/// equally full.
pub fn pack(shapes: &[(usize, &str)], seeds: usize, most: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for (point, shape) in shapes {
        let at = *place.entry(*shape).or_insert_with(|| {
            groups.push((shape, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(*point);
    }
    let full = (most / seeds.max(1)).max(1);
    let split = |(_, points): (&str, Vec<usize>)| {
        let batches = points.len().div_ceil(full);
        let size = points.len().div_ceil(batches.max(1)).max(1);
        points.chunks(size).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(split).collect()
}

/// How many replicas may fit where `n` did not; `None` if the error is about something else or there is nothing left to
/// split.
pub fn fitting(e: &JobError, n: usize) -> Option<usize> {
    let share = match e {
        JobError::Memory { needed_gib, available_gib, .. } => 0.9 * available_gib / needed_gib,
        JobError::Gpu(GpuError::TooLarge { needed, allowed, .. }) => *allowed as f64 / *needed as f64,
        // A device that ran out of time or memory in the middle says no number.
        JobError::Gpu(GpuError::OutOfMemory { .. } | GpuError::Lost(..)) => 0.5,
        _ => return None,
    };
    (n > 1).then(|| ((n as f64 * share) as usize).clamp(1, n - 1))
}

/// Does `work` on all of `0..n` in parts of at most `most`. A part that does not fit into memory is split: `smaller`
/// hears of the error, the part's size and the size that is tried now, which stays in `most`.
///
/// # Errors
/// Whatever `work` fails with, but for memory that smaller parts do not need.
pub fn in_parts<T>(
    n: usize,
    most: &mut usize,
    mut work: impl FnMut(Range<usize>) -> Result<Vec<T>, JobError>,
    mut smaller: impl FnMut(&JobError, usize, usize),
) -> Result<Vec<T>, JobError> {
    let mut out: Vec<T> = Vec::with_capacity(n);
    while out.len() < n {
        let part = out.len()..n.min(out.len() + (*most).max(1));
        let size = part.len();
        match work(part) {
            Ok(done) => {
                assert_eq!(done.len(), size, "a result for each replica");
                out.extend(done);
            }
            Err(e) => {
                let Some(fit) = fitting(&e, size) else { return Err(e) };
                smaller(&e, size, fit);
                *most = fit;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shapes_share_batches_and_nothing_is_left_out() {
        let shapes = [(0, "a"), (1, "b"), (2, "a"), (5, "a"), (7, "b"), (8, "a"), (9, "a")];
        assert_eq!(pack(&shapes, 4, 100), [vec![0, 2, 5, 8, 9], vec![1, 7]]);
        // Two points of four seeds at most; three batches of five points hold 2, 2 and 1.
        assert_eq!(pack(&shapes, 4, 11), [vec![0, 2], vec![5, 8], vec![9], vec![1, 7]]);
        // Four fit: 5 points make 3 + 2 rather than 4 + 1.
        assert_eq!(pack(&shapes, 1, 4), [vec![0, 2, 5], vec![8, 9], vec![1, 7]]);
        // A point is never split here, however many seeds it has.
        assert_eq!(pack(&shapes[..2], 64, 8), [[0], [1]]);
        assert!(pack(&[], 4, 8).is_empty());
    }

    fn memory(n: usize, room: usize) -> JobError {
        let (needed_gib, available_gib) = (n as f64, room as f64 / 0.9);
        JobError::Memory { what: "x".into(), needed_gib, available_gib, keys: "y" }
    }

    #[test]
    fn what_does_not_fit_is_split_and_done_once_in_order() {
        let (mut most, mut said, mut calls) = (64, Vec::new(), 0);
        let work = |r: Range<usize>| {
            calls += 1;
            if r.len() > 7 { Err(memory(r.len(), 7)) } else { Ok(r.collect()) }
        };
        let out = in_parts(20, &mut most, work, |e, n, fit| said.push((e.to_string(), n, fit))).unwrap();
        assert_eq!(out, (0..20).collect::<Vec<_>>());
        // The size that fits is found at once from the numbers in the error, and kept.
        assert_eq!((most, calls, said.len(), said[0].1, said[0].2), (7, 4, 1, 20, 7));
    }

    #[test]
    fn a_device_that_gives_no_number_is_asked_for_half() {
        for broken in [
            || GpuError::OutOfMemory { label: "b".into(), needed: 1, detail: "d".into() },
            || GpuError::Lost(1, "gone".into()),
        ] {
            let mut most = 16;
            let work = |r: Range<usize>| if r.len() > 5 { Err(broken().into()) } else { Ok(r.collect()) };
            assert_eq!(in_parts(16, &mut most, work, |_, _, _| ()).unwrap().len(), 16);
            assert_eq!(most, 4);
        }
        let too_large = GpuError::TooLarge {
            label: "b".into(),
            needed: 1000,
            allowed: 300,
            adapter: "a".into(),
            limit: "binding",
        };
        assert_eq!(fitting(&too_large.into(), 100), Some(30));
    }

    #[test]
    fn one_replica_too_many_and_other_errors_are_errors() {
        let mut most = 4;
        let e = in_parts(4, &mut most, |r| Err::<Vec<u8>, _>(memory(r.len(), 0)), |_, _, _| ()).unwrap_err();
        assert!(matches!(e, JobError::Memory { .. }) && most == 1, "{e}");
        let mut calls = 0;
        let work = |_: Range<usize>| {
            calls += 1;
            Err::<Vec<u8>, _>(JobError::NoWeights("ppo"))
        };
        assert!(in_parts(4, &mut 4, work, |_, _, _| ()).is_err());
        assert_eq!(calls, 1);
    }
}
