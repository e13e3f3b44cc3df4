//! Which of several agents is better, from runs of each under several conditions: paired differences, probability of
//! improvement, distribution of ranks and performance profiles, as Agarwal et al. ("Deep reinforcement learning at the
//! edge of the statistical precipice", NeurIPS 2021) have them. More is better here: turn the sign of a cost.

use super::philox::{PhiloxRng, Stream};
use super::stats::{self, Interval, RESAMPLES, mean, quantile};
use rand::Rng;

const SEED: u32 = 0;

/// Runs of one agent under one condition: (seed, value), ascending in the seed.
pub type Runs = Vec<(u32, f64)>;

/// `[condition][agent]`; an agent without runs under a condition has none there.
pub type Table = Vec<Vec<Runs>>;

/// How far one agent is above another where both ran with the same seed under the same condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// Of all pairs, in the unit of the values.
    pub difference: f64,
    /// 95 % interval of the difference, pairs resampled condition by condition; `None` below two pairs in each.
    pub interval: Option<Interval>,
    pub pairs: usize,
    /// Pairs in which the first one is above, and in which it is below.
    pub above: usize,
    pub below: usize,
}

/// The pairs of agents `a` and `b`; `None` without one.
pub fn paired(table: &Table, a: usize, b: usize) -> Option<Paired> {
    let of = |runs: &Vec<Runs>| -> Vec<f64> {
        let other = |seed: u32| runs[b].iter().find(|r| r.0 == seed).map(|r| r.1);
        runs[a].iter().filter_map(|(seed, x)| Some(x - other(*seed)?)).collect()
    };
    let strata: Vec<Vec<f64>> = table.iter().map(of).filter(|x| !x.is_empty()).collect();
    let all = strata.concat();
    (!all.is_empty()).then(|| Paired {
        difference: mean(&all),
        interval: stats::stratified_95(&strata, SEED, mean),
        pairs: all.len(),
        above: all.iter().filter(|d| **d > 0.0).count(),
        below: all.iter().filter(|d| **d < 0.0).count(),
    })
}

/// Draws of one index below `n` after another; the bias of the multiplication is below n/2³².
struct Draws(PhiloxRng);

impl Draws {
    fn new(stratum: usize, n: usize) -> Draws {
        Draws(PhiloxRng::new([SEED.wrapping_add(stratum as u32), n as u32], Stream::Shuffle, 0, 0))
    }
    fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }
}

fn ends(mut values: Vec<f64>) -> Interval {
    Interval { lo: quantile(&mut values, 0.025), hi: quantile(&mut values, 0.975) }
}

/// How many of the values lie below x, those equal to it counted by half.
#[derive(Clone, Copy)]
struct Standing {
    below: usize,
    upto: usize,
}

/// Probability that a run of `a` is above one of `b` under the same condition, ties counted by half, as the mean over
/// conditions that both have, with its 95 % interval by resampling the runs of both; `None` where they share none. The
/// interval is absent below two runs of one of them under every condition.
pub fn improvement(table: &Table, a: usize, b: usize) -> Option<(f64, Option<Interval>)> {
    let shared: Vec<(&Runs, &Runs)> = table
        .iter()
        .map(|runs| (&runs[a], &runs[b]))
        .filter(|(x, y)| !x.is_empty() && !y.is_empty())
        .collect();
    if shared.is_empty() {
        return None;
    }
    // Of each condition: where each run of `a` stands among the sorted ones of `b`.
    let standings: Vec<(Vec<Standing>, usize)> = shared
        .iter()
        .map(|(x, y)| {
            let mut sorted: Vec<f64> = y.iter().map(|r| r.1).collect();
            sorted.sort_by(f64::total_cmp);
            let of = |(_, x): &(u32, f64)| Standing {
                below: sorted.partition_point(|v| v < x),
                upto: sorted.partition_point(|v| v <= x),
            };
            (x.iter().map(of).collect(), sorted.len())
        })
        .collect();
    let share = |picked: &dyn Fn(usize) -> usize, n: usize, standings: &[Standing], upto: &[u32]| {
        let won = |i: usize| {
            let at = standings[picked(i)];
            f64::from(upto[at.below] + upto[at.upto]) / 2.0
        };
        (0..n).map(won).sum::<f64>() / n as f64 / f64::from(upto[upto.len() - 1])
    };
    let plain: Vec<f64> = standings
        .iter()
        .map(|(s, m)| share(&|i| i, s.len(), s, &(0..=*m as u32).collect::<Vec<_>>()))
        .collect();
    let several = standings.iter().any(|(s, m)| s.len() > 1 || *m > 1);
    let interval = several.then(|| {
        let mut draws: Vec<Draws> =
            standings.iter().enumerate().map(|(c, (s, m))| Draws::new(c, s.len() + m)).collect();
        let one = |_| {
            let of = |((s, m), draws): (&(Vec<Standing>, usize), &mut Draws)| {
                let mut upto = vec![0u32; m + 1];
                (0..*m).for_each(|_| upto[1 + draws.below(*m)] += 1);
                (0..*m).for_each(|i| upto[i + 1] += upto[i]);
                let picks: Vec<usize> = s.iter().map(|_| draws.below(s.len())).collect();
                share(&|i| picks[i], s.len(), s, &upto)
            };
            standings.iter().zip(&mut draws).map(of).sum::<f64>() / standings.len() as f64
        };
        ends((0..RESAMPLES).map(one).collect())
    });
    Some((mean(&plain), interval))
}

/// The conditions under which all agents ran.
pub fn complete(table: &Table) -> Table {
    table.iter().filter(|runs| runs.iter().all(|r| !r.is_empty())).cloned().collect()
}

/// Probability `[agent][rank]` of each rank, the best first, by resampling runs: an agent's rank is that of the mean
/// over conditions of its rank by the means of its runs, ties shared. Where all agents ran with the same seeds under a
/// condition, all get the same draws. Every condition must have all agents; empty without one, or where no agent has
/// two runs.
pub fn ranks(table: &Table) -> Vec<Vec<f64>> {
    let agents = table.first().map_or(0, Vec::len);
    if agents == 0 || table.iter().flatten().all(|r| r.len() < 2) {
        return Vec::new();
    }
    let seeds = |runs: &Runs| runs.iter().map(|r| r.0).collect::<Vec<_>>();
    let together: Vec<bool> =
        table.iter().map(|runs| runs.iter().all(|r| seeds(r) == seeds(&runs[0]))).collect();
    let mut draws: Vec<Draws> = table.iter().enumerate().map(|(c, r)| Draws::new(c, r[0].len())).collect();
    let mut counts = vec![vec![0f64; agents]; agents];
    let (mut means, mut score) = (vec![0f64; agents], vec![0f64; agents]);
    let mut picks: Vec<usize> = Vec::new();
    for _ in 0..RESAMPLES {
        score.fill(0.0);
        for ((runs, together), draws) in table.iter().zip(&together).zip(&mut draws) {
            for (i, (runs, mean)) in runs.iter().zip(&mut means).enumerate() {
                if i == 0 || !together {
                    picks.clear();
                    picks.extend((0..runs.len()).map(|_| draws.below(runs.len())));
                }
                *mean = picks.iter().map(|p| runs[*p].1).sum::<f64>() / runs.len() as f64;
            }
            for (score, rank) in score.iter_mut().zip(places(&means)) {
                *score -= rank;
            }
        }
        for (i, place) in places(&score).into_iter().enumerate() {
            // A shared place counts for each of the ranks that it stands for.
            let tied = score.iter().filter(|s| **s == score[i]).count();
            let first = (place - (tied as f64 - 1.0) / 2.0).round() as usize;
            (first..first + tied).for_each(|r| counts[i][r] += 1.0 / tied as f64);
        }
    }
    counts.iter_mut().flatten().for_each(|n| *n /= RESAMPLES as f64);
    counts
}

/// The place of each value from 0 on, the greatest first; of equal ones the mean of their places.
fn places(values: &[f64]) -> Vec<f64> {
    let place = |x: &f64| {
        let above = values.iter().filter(|v| *v > x).count();
        let tied = values.iter().filter(|v| *v == x).count();
        above as f64 + (tied as f64 - 1.0) / 2.0
    };
    values.iter().map(place).collect()
}

/// The table with every condition's values moved and scaled so that the least of its agents' means is 0 and the
/// greatest 1; conditions under which all means are equal are left out.
pub fn normalised(table: &Table) -> Table {
    let scaled = |runs: &Vec<Runs>| {
        let means: Vec<f64> = runs
            .iter()
            .filter(|r| !r.is_empty())
            .map(|r| mean(&r.iter().map(|r| r.1).collect::<Vec<_>>()))
            .collect();
        let lo = means.iter().copied().fold(f64::INFINITY, f64::min);
        let hi = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let of = |r: &Runs| r.iter().map(|(seed, x)| (*seed, (x - lo) / (hi - lo))).collect();
        (hi > lo).then(|| runs.iter().map(of).collect())
    };
    table.iter().filter_map(scaled).collect()
}

/// One point of a performance profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    pub at: f64,
    /// Of the runs of an agent those above it, as the mean over conditions, 0 to 1.
    pub share: f64,
    /// By resampling the runs of each condition; `None` where no condition has two.
    pub interval: Option<Interval>,
}

/// The performance profile of an agent at each of these values.
pub fn profile(table: &Table, agent: usize, at: &[f64]) -> Vec<Share> {
    let strata: Vec<Vec<f64>> = table
        .iter()
        .map(|runs| runs[agent].iter().map(|r| r.1).collect::<Vec<_>>())
        .filter(|x| !x.is_empty())
        .collect();
    let of = |at: &f64| {
        let hit = |x: &Vec<f64>| x.iter().map(|x| f64::from(u8::from(x > at))).collect::<Vec<_>>();
        let strata: Vec<Vec<f64>> = strata.iter().map(hit).collect();
        let share = mean(&strata.iter().map(|x| mean(x)).collect::<Vec<_>>());
        Share { at: *at, share, interval: stats::stratified_95(&strata, SEED, mean) }
    };
    at.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64]) -> Runs {
        values.iter().enumerate().map(|(i, x)| (i as u32, *x)).collect()
    }

    /// Two agents whose own spreads hide what every pair says.
    fn hidden() -> Table {
        [2.0, 2.55, 3.2]
            .iter()
            .map(|x| vec![runs(&[x + 10.0, x + 5.0, *x]), runs(&[x + 9.9, x + 4.8, x - 0.1])])
            .collect()
    }

    #[test]
    fn pairs_tell_what_intervals_hide() {
        let table = hidden();
        let p = paired(&table, 0, 1).unwrap();
        assert_eq!((p.pairs, p.above, p.below), (9, 9, 0));
        let i = p.interval.unwrap();
        assert!(i.lo > 0.09 && i.hi < 0.21 && (p.difference - 0.4 / 3.0).abs() < 1e-12, "{p:?}");
        let back = paired(&table, 1, 0).unwrap();
        assert_eq!((back.difference, back.above, back.below), (-p.difference, 0, 9));
        // Of each alone the intervals overlap.
        let own = |agent: usize| {
            let strata: Vec<Vec<f64>> =
                table.iter().map(|c| c[agent].iter().map(|r| r.1).collect()).collect();
            stats::stratified_95(&strata, 0, mean).unwrap()
        };
        assert!(own(0).lo < own(1).hi);
        // Other seeds make no pairs.
        let apart = vec![vec![vec![(0, 1.0)], vec![(1, 2.0)]]];
        assert_eq!(paired(&apart, 0, 1), None);
    }

    #[test]
    fn improvement_is_the_mann_whitney_share() {
        let (p, i) = improvement(&vec![vec![runs(&[1.0, 3.0]), runs(&[2.0, 2.0])]], 0, 1).unwrap();
        assert_eq!(p, 0.5);
        // Resamples of {1, 3} against a constant: 0, ½ or 1.
        assert_eq!(i.unwrap(), Interval { lo: 0.0, hi: 1.0 });
        // Ties count by half; conditions weigh the same whatever their numbers of runs.
        let table = vec![
            vec![runs(&[1.0]), runs(&[1.0])],
            vec![runs(&[5.0, 6.0, 7.0]), runs(&[1.0])],
            vec![runs(&[]), runs(&[9.0])],
        ];
        let (p, i) = improvement(&table, 0, 1).unwrap();
        assert_eq!((p, i.unwrap()), (0.75, Interval { lo: 0.75, hi: 0.75 }));
        assert_eq!(improvement(&table, 1, 0).unwrap().0, 0.25);
        assert_eq!(improvement(&vec![vec![runs(&[1.0]), runs(&[2.0])]], 0, 1), Some((0.0, None)));
        assert_eq!(improvement(&vec![vec![runs(&[1.0]), runs(&[])]], 0, 1), None);
        // Against an independent count over all pairs.
        let (x, y) = (runs(&[0.3, 0.9, 0.4, 0.4, 0.7]), runs(&[0.4, 0.1, 0.8, 0.35]));
        let won = |a: f64, b: f64| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        };
        let all: Vec<f64> = x.iter().flat_map(|a| y.iter().map(move |b| won(a.1, b.1))).collect();
        let (p, i) = improvement(&vec![vec![x, y]], 0, 1).unwrap();
        assert!((p - mean(&all)).abs() < 1e-12);
        assert!(i.unwrap().lo < p && p < i.unwrap().hi);
    }

    #[test]
    fn ranks_of_clear_and_of_level_agents() {
        let clear = ranks(&vec![vec![runs(&[1.0, 1.1]), runs(&[9.0, 9.1]), runs(&[5.0, 5.1])]]);
        assert_eq!(clear, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        // Level throughout: every rank as likely as any other.
        let level = ranks(&vec![vec![runs(&[1.0, 2.0]), runs(&[1.0, 2.0])]]);
        assert!(level.iter().flatten().all(|p| (p - 0.5).abs() < 1e-9), "{level:?}");
        for table in [hidden(), vec![vec![runs(&[1.0, 5.0, 2.0]), vec![(7, 3.0), (8, 2.5)]]]] {
            let p = ranks(&table);
            for i in 0..2 {
                assert!((p[i].iter().sum::<f64>() - 1.0).abs() < 1e-9, "{p:?}");
                assert!((p[0][i] + p[1][i] - 1.0).abs() < 1e-9, "{p:?}");
            }
        }
        // Same draws for all: what is above in every seed is first in every resample.
        assert_eq!(ranks(&hidden())[0], [1.0, 0.0]);
        assert!(ranks(&vec![vec![runs(&[1.0]), runs(&[2.0])]]).is_empty() && ranks(&Vec::new()).is_empty());
    }

    #[test]
    fn profiles_fall_from_all_to_none() {
        let table = normalised(&vec![vec![runs(&[0.0, 10.0]), runs(&[10.0, 20.0])]]);
        // Means 5 and 15: 0 and 1.
        assert_eq!(table[0][0], runs(&[-0.5, 0.5]));
        assert_eq!(table[0][1], runs(&[0.5, 1.5]));
        let p = profile(&table, 0, &[-1.0, 0.0, 0.5]);
        assert_eq!(p.iter().map(|p| p.share).collect::<Vec<_>>(), [1.0, 0.5, 0.0]);
        assert_eq!(p[1].interval, Some(Interval { lo: 0.0, hi: 1.0 }));
        assert!(normalised(&vec![vec![runs(&[2.0]), runs(&[2.0])]]).is_empty());
    }

    #[test]
    fn only_conditions_with_all_agents_are_complete() {
        let table = vec![vec![runs(&[1.0]), runs(&[])], vec![runs(&[1.0]), runs(&[2.0])]];
        assert_eq!(complete(&table), [table[1].clone()]);
    }
}
