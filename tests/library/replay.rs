//! Replays against evaluations: the same draws, decisions and numbers, and pages that hold what was recorded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isacbench::report::replay::{FILE, LARGE, Replay, Scene, Take, gain};
use isacbench::run::actor::Actor;
use isacbench::run::errors::JobError;
use isacbench::run::record::Shot;
use isacbench::run::replay::{Player, beside_report, replay};
use isacbench::run::task::{Task, Unit, Weights};
use isacbench::run::watch::Quiet;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;

const SEED: u32 = 41;

fn config<C: Task>(sets: &[&str]) -> C {
    C::load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

fn film<C: Task>(config: &C, agent: &str, episodes: usize) -> (Scene, Vec<Take>) {
    let slots = config.env(&[]).sizes().slots;
    film_of(config, agent, &Shot { seed: SEED, episodes, slots })
}

/// Learned agents as they are before training.
fn film_of<C: Task>(config: &C, agent: &str, shot: &Shot) -> (Scene, Vec<Take>) {
    let agent = C::agent(agent).unwrap();
    let algorithm = config.algorithm_at(agent, &[(config.swept(), 3)]);
    let actor = algorithm.map(|a| Actor::new(&a, &a.start().params));
    config.film(agent, actor.as_ref(), shot).unwrap()
}

/// Every line that an evaluation knows has its mean; which ones those are.
fn assert_evaluated<C: Task>(config: &C, id: &str) -> Vec<String> {
    let episodes = 5;
    let config = config.with_episodes(episodes);
    let (scene, takes) = film(&config, id, episodes as usize);
    let agent = C::agent(id).unwrap();
    let algorithm = config.algorithm_at(agent, &[(config.swept(), 3)]);
    let start = algorithm.as_ref().map(|a| a.start());
    let weights = algorithm.as_ref().zip(start.as_ref()).map(|(a, s)| Weights::trained(a, &s.params));
    let unit = Unit { config: &config, seed: SEED };
    let evaluated = C::evaluate(agent, &[unit], weights, None, &Quiet).unwrap().remove(0);
    let mut known = Vec::new();
    for (n, line) in scene.lines.iter().enumerate() {
        let Some((_, want)) = evaluated.metrics.iter().find(|m| m.0 == line.metric) else { continue };
        let all: Vec<f64> = takes.iter().flat_map(|t| &t.lines[n]).map(|x| f64::from(*x)).collect();
        let got = all.iter().sum::<f64>() / all.len() as f64;
        // What is recorded is in single precision.
        assert!(
            (got - want.mean).abs() <= 2e-7 * want.mean.abs(),
            "{id} {}: {got}, {}",
            line.metric,
            want.mean
        );
        known.push(line.metric.clone());
    }
    known
}

const V2X: [&str; 4] = ["task.slots=30", "ppo.hidden=[16]", "spiking.hidden=[16]", "task.p_max_dbm=30"];
const MISAC: [&str; 4] = ["task.slots=30", "task.antennas=8", "temporal.hidden=8", "evaluate.gain_stride=1"];

#[test]
fn what_is_shown_is_on_average_what_an_evaluation_says() {
    let c = config::<V2xConfig>(&V2X);
    for agent in ["last-estimate", "random", "ekf-zf", "beam-training", "genie", "ppo", "spiking-ac", "ddpg"]
    {
        let known = assert_evaluated(&c, agent);
        assert_eq!(known, ["sum_rate_bps_hz", "reward", "distance_mse_m2", "pointing_mse_rad2"], "{agent}");
    }
    assert_evaluated(&c.with_greedy(false), "ppo");
    for more in
        [&["task.beam=matrix"][..], &["task.beam=zf", "task.limits=episode", "task.kinematics=cartesian"]]
    {
        assert_evaluated(&config::<V2xConfig>(&[&V2X, more].concat()), "ppo");
    }
    let c = config::<MisacConfig>(&MISAC);
    for agent in ["vision-only", "best-periodic", "dp-optimal", "h-moe", "ppo-mono"] {
        let known = assert_evaluated(&c, agent);
        assert_eq!(known, ["energy_j", "l_bmp", "mae_deg", "sum_rate_bps_hz"], "{agent}");
    }
    assert_evaluated(&c.with_greedy(false), "h-moe");
}

#[test]
fn agents_meet_the_same_draws() {
    let c = config::<V2xConfig>(&["task.slots=40"]);
    let [a, b] = ["last-estimate", "genie-zf"].map(|agent| film(&c, agent, 3).1);
    for (a, b) in a.iter().zip(&b) {
        assert!(a.truth == b.truth && a.bounds == b.bounds && a.beams != b.beams);
    }
    assert_ne!(a[0].truth, a[1].truth, "episodes differ");
    let c = config::<MisacConfig>(&["task.slots=40"]);
    let [a, b] = ["vision-only", "radar-only"].map(|agent| film(&c, agent, 3).1);
    for (a, b) in a.iter().zip(&b) {
        assert!(a.truth == b.truth && a.estimate != b.estimate);
    }
    // The first slots of an episode are those of a shorter look at it, and of fewer episodes.
    let short = film_of(&c, "vision-only", &Shot { seed: SEED, episodes: 1, slots: 7 }).1;
    assert_eq!(short[0].truth, a[0].truth[..short[0].truth.len()]);
    assert_eq!(short[0].lamps.len(), 7 * 4);
}

/// `last-estimate` steers at the angle of the slot before, and its beams are strongest there.
#[test]
fn beams_peak_where_they_are_steered() {
    let c = config::<V2xConfig>(&["task.slots=25", "task.p_max_dbm=0"]);
    let (scene, takes) = film(&c, "last-estimate", 2);
    let (k, n) = (scene.movers.len(), scene.plan.unwrap().antennas);
    for take in &takes {
        for t in 0..25 {
            for i in 0..k {
                let at = t * k + i;
                let aim = f64::from(take.aims[at]);
                if t > 0 {
                    assert_eq!(take.aims[at], take.estimate[4 * (at - k)], "slot {t}, vehicle {i}");
                }
                let beam = &take.beams[at * n..][..n];
                let best = (0..=20_000).map(|d| std::f64::consts::PI * f64::from(d) / 20_000.0);
                let best = best.max_by(|a, b| gain(beam, *a).total_cmp(&gain(beam, *b))).unwrap();
                // Near the ends of the array its lobes are wide and flat.
                assert!((best.cos() - aim.cos()).abs() < 2e-3, "slot {t}: {best}, steered at {aim}");
                assert!((gain(beam, aim) - 1.0).abs() < 1e-4, "slot {t}: {}", gain(beam, aim));
            }
        }
    }
}

#[test]
fn an_age_ends_where_its_camera_fires_and_only_there() {
    for (agent, t_proc) in [("best-periodic", 0), ("dp-optimal", 0), ("h-moe", 0), ("best-periodic", 2)] {
        let set = format!("task.t_proc_slots={t_proc}");
        let c = config::<MisacConfig>(&["task.slots=60", "task.antennas=8", "task.snr_db=0", &set]);
        let (scene, takes) = film(&c, agent, 3);
        let k = scene.movers.len();
        let ages = scene.lines.iter().position(|l| l.each).unwrap();
        let mut fired = 0;
        for take in &takes {
            for at in 0..59 * k {
                let (age, next) = (take.lines[ages][at], take.lines[ages][at + k]);
                let want = if take.lamps[at] { t_proc as f32 } else { (age + 1.0).min(10.0) };
                assert_eq!(next, want, "{agent}, place {at}");
                fired += u32::from(take.lamps[at]);
            }
        }
        assert!(fired > 0 || agent == "h-moe", "{agent} has no frame");
    }
}

/// Errors over the standard deviations that ellipses are drawn with have a mean square of 1.
#[test]
fn ellipses_are_as_wide_as_errors_are() {
    fn mean_squares<C: Task>(config: &C, agent: &str) -> [f64; 2] {
        let (_, takes) = film(config, agent, 40);
        let (mut sums, mut n) = ([0.0; 2], 0.0);
        for take in &takes {
            for (truth, estimate) in take.truth.chunks(2).zip(take.estimate.chunks(4)) {
                for j in 0..2 {
                    sums[j] += f64::from((estimate[j] - truth[j]) / estimate[2 + j]).powi(2);
                }
                n += 1.0;
            }
        }
        sums.map(|s| s / n)
    }
    let close = |what: &str, [theta, d]: [f64; 2]| {
        assert!((theta - 1.0).abs() < 0.1 && (d - 1.0).abs() < 0.1, "{what}: {theta}, {d}");
    };
    // With power enough, no rounding of an angle shows.
    let sets = ["task.slots=30", "task.p_max_dbm=0", "task.sensing_noise=100"];
    close("echo", mean_squares(&config::<V2xConfig>(&sets), "genie"));
    for growth in ["random-walk", "exponential"] {
        for more in ["task.realign=false", "task.realign=true", "task.radar_noise_deg=0.5"] {
            let growth = format!("task.error_growth={growth}");
            let sets = ["task.slots=60", "task.antennas=64", "task.start_x_m=[-60,-30]", &growth, more];
            close(more, mean_squares(&config::<MisacConfig>(&sets), "best-periodic"));
        }
    }
}

#[test]
fn what_has_no_episode_is_refused() {
    let shot = Shot { seed: 0, episodes: 1, slots: 2 };
    let refused = |e: Result<(Scene, Vec<Take>), JobError>| e.unwrap_err().to_string();
    let c = config::<V2xConfig>(&[]);
    assert!(refused(c.film(V2xConfig::agent("upper-bound").unwrap(), None, &shot)).contains("'upper-bound'"));
    assert!(refused(c.film(V2xConfig::agent("ppo").unwrap(), None, &shot)).contains("--checkpoint"));
    let c = config::<MisacConfig>(&[]);
    assert!(refused(c.film(MisacConfig::agent("dp-bound").unwrap(), None, &shot)).contains("'dp-bound'"));
    assert!(refused(c.film(MisacConfig::agent("h-moe").unwrap(), None, &shot)).contains("--checkpoint"));
}

fn page<C: Task>(config: &C, agents: &[&str], shot: &Shot) -> (Replay, String) {
    let player = |id: &&str| Player::fixed(C::agent(id).unwrap(), config.clone());
    let played = replay(&agents.iter().map(player).collect::<Vec<_>>(), shot).unwrap();
    let html = played.html();
    (played, html)
}

/// 200 slots of three agents.
#[test]
fn pages_hold_what_was_recorded_and_stay_small() {
    let shot = Shot { seed: SEED, episodes: 2, slots: 200 };
    let c = config::<MisacConfig>(&[]);
    let (played, html) = page(&c, &["vision-only", "radar-only", "best-periodic"], &shot);
    assert!(html.len() < LARGE, "{} bytes", html.len());
    let (_, rest) = html.split_once("id=\"replay\">").unwrap();
    let data: serde_json::Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    assert_eq!((&data["slots"], &data["casts"][1]["agent"]), (&200.into(), &"radar-only".into()));
    for (cast, told) in played.casts.iter().zip(data["casts"].as_array().unwrap()) {
        for (take, told) in cast.takes.iter().zip(told["takes"].as_array().unwrap()) {
            let bytes = |x: &serde_json::Value| STANDARD.decode(x.as_str().unwrap()).unwrap();
            assert_eq!(bytes(&told["truth"]), bytemuck::cast_slice::<f32, u8>(&take.truth));
            assert_eq!(bytes(&told["lines"][1]), bytemuck::cast_slice::<f32, u8>(&take.lines[1]));
            assert_eq!(bytes(&told["beams"]).len(), 200 * 4 * 64 * 2);
            assert_eq!((take.truth.len(), take.lines[1].len()), (200 * 4 * 2, 200 * 4));
        }
    }
    let c = config::<V2xConfig>(&["task.slots=200"]);
    let (played, html) = page(&c, &["last-estimate", "ekf-zf", "genie"], &shot);
    assert!(html.len() < LARGE && played.slots == 200, "{} bytes", html.len());
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http://") && !outside.contains("https://") && !outside.contains("src="));
    // Means of the table are those of the lines.
    let rate = played.mean(&played.casts[0], 0).unwrap();
    assert!(html.contains(&format!("<td class=\"n\">{}</td>", isacbench::num::text::num(rate))));
}

#[test]
fn a_report_without_checkpoints_has_a_replay_of_what_needs_none() {
    let dir = tempfile::tempdir().unwrap();
    let c = config::<V2xConfig>(&["task.slots=5"]);
    let path = beside_report(&c, dir.path()).unwrap().unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(
        path.ends_with(FILE) && page.contains("\"agent\":\"genie\"") && page.contains("draws of seed 1000<")
    );
    assert!(page.contains("\"agent\":\"last-estimate\"") && !page.contains("\"agent\":\"spiking-ac\""));
}
