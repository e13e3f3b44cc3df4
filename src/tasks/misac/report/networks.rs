//! Energy of the networks that decide, by every method, beside the energy of the cameras that the paper counts.

use super::*;
use crate::energy::accounts::{EFFECTIVE, INFERENCE, MEASURED, MEMORY, PAPER};
use crate::run::rows::EnergyRow;

/// Methods in the order of every table, with their words.
const METHODS: [(&str, &str); 4] = [
    (PAPER, "FLOP formula"),
    (EFFECTIVE, "effective operations"),
    (MEMORY, "with memory"),
    (MEASURED, "measured"),
];

fn method_place(method: &str) -> usize {
    METHODS.iter().position(|m| m.0 == method).unwrap_or(METHODS.len())
}

fn words(method: &str, constants: &str) -> String {
    let name = METHODS.iter().find(|m| m.0 == method).map_or(method, |m| m.1);
    if method == MEASURED { name.to_string() } else { format!("{name}, {constants}") }
}

impl View<'_> {
    /// The energies of these runs.
    pub(super) fn networks_of(&self, shown: &[Run]) -> Networks {
        let rows = self.rows;
        let mine = |r: &&EnergyRow| r.stage == INFERENCE && shown.iter().any(|run| run.has(&r.key));
        let snr_db = headline(rows.energy.iter().filter(mine).map(|r| r.key.at));
        type Place = (usize, String, String, usize, String);
        let mut sums: BTreeMap<Place, Account> = BTreeMap::new();
        for r in rows.energy.iter().filter(mine).filter(|r| Some(r.key.at) == snr_db) {
            let key = (
                method_place(&r.method),
                r.method.clone(),
                r.constants.clone(),
                place(&r.key.agent),
                r.key.agent.clone(),
            );
            let account = sums.entry(key).or_insert_with(|| Account {
                agent: r.key.agent.clone(),
                method: r.method.clone(),
                constants: r.constants.clone(),
                seeds: BySeed::new(),
                networks: Vec::new(),
                reason: String::new(),
            });
            *account.seeds.entry(r.key.seed).or_default() += r.energy_j;
            if !account.networks.contains(&r.network) {
                account.networks.push(r.network.clone());
            }
            if account.reason.is_empty() {
                account.reason.clone_from(&r.reason);
            }
        }
        let mut accounts: Vec<Account> = sums.into_values().collect();
        accounts.iter_mut().for_each(|a| a.networks.sort());
        Networks { accounts, snr_db }
    }

    fn account(&self, a: &Account) -> Option<Estimate> {
        over_seeds(&self.resamples, &a.seeds)
    }

    pub(super) fn fig_networks(&self) -> Plate {
        let mut groups: Vec<(String, Vec<Bar>)> = Vec::new();
        // Readings with more than a number format in their constants are in the table only.
        for a in self.networks.accounts.iter().filter(|a| !a.constants.contains(',')) {
            let Some(e) = self.account(a) else { continue };
            let label = words(&a.method, &a.constants).replace(", ", "\n");
            let bar = Bar { agent: a.agent.clone(), y: e.mean, interval: e.interval, seeds: Some(e.seeds) };
            match groups.iter_mut().find(|g| g.0 == label) {
                Some(g) => g.1.push(bar),
                None => groups.push((label, vec![bar])),
            }
        }
        Plate {
            file: "networks.svg",
            number: "networks",
            picture: Picture::Bars(Bars {
                title: "Energy of the deciding networks per slot, by method".into(),
                y_label: "energy per slot (J)".into(),
                log_y: true,
                groups,
                ..Bars::with(PALETTE)
            }),
            caption: "Energy of the networks that schedule and set phases, per slot, log scale, mean over seeds with 95 % error bars. Bars of \
                      two methods do not compare: each has constants of its own. Not in the paper, which counts the cameras' networks only."
                .into(),
            needs: "no energies of the networks",
        }
    }

    /// The largest energy per slot of the networks of `agent` by any method: its words and value, J.
    fn most(&self, agent: &str) -> Option<(String, f64)> {
        let mine = self.networks.accounts.iter().filter(|a| a.agent == agent);
        let known = mine.filter_map(|a| Some((words(&a.method, &a.constants), self.account(a)?.mean)));
        known.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    pub(super) fn networks_sentence(&self) -> Option<String> {
        let (method, j) = self.most(PROPOSED).filter(|m| m.1 > 0.0)?;
        let camera = paper::CAMERA_SLOT_J;
        Some(format!(
            "The paper counts the energy of the cameras' networks and leaves its own out. Those of `{PROPOSED}` take at most {} per slot ({method}), \
             {} of the {camera} J of a slot with all cameras: {}.",
            joules(j),
            part_of(j, camera),
            if j < 0.01 * camera { "leaving them out changes nothing" } else { "too much to leave out" }
        ))
    }

    pub(super) fn write_networks(&self, out: &mut String) {
        let rows = rows_of(&self.networks.accounts, |a| {
            let e = self.account(a);
            vec![
                words(&a.method, &a.constants),
                code(&a.agent),
                a.networks.join(", "),
                e.map_or_else(|| format!("none: {}", a.reason), |e| joules(e.mean)),
                e.map_or("-".into(), |e| e.joules_text()),
                e.map_or("-".into(), |e| part_of(e.mean, paper::CAMERA_SLOT_J)),
            ]
        });
        if rows.is_empty() {
            return;
        }
        let at = self.networks.snr_db.map(|s| format!(" at {s} dB")).unwrap_or_default();
        let of = format!("of {} J", paper::CAMERA_SLOT_J);
        let _ = writeln!(out, "Energy of the deciding networks per slot{at}, networks added:\n");
        let header = format!("method | agent | networks | energy per slot | 95 % interval | {of}");
        out.push_str(&table(&header, 3, &rows));
    }
}

/// A small share in words: "1 part in 2.5e9".
fn part_of(j: f64, whole_j: f64) -> String {
    let parts = whole_j / j;
    if parts.is_finite() && parts >= 100.0 {
        format!("1 part in {}", num(parts))
    } else {
        format!("{} %", num(100.0 * j / whole_j))
    }
}
