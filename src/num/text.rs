//! Numbers as people read them.

use super::stats::Interval;

/// Five significant digits; `-` for what is missing.
pub fn num(x: f64) -> String {
    if x.is_nan() {
        return "-".into();
    }
    if x == 0.0 {
        return "0".into();
    }
    if x.is_infinite() {
        return format!("{x}");
    }
    let power = x.abs().log10().floor() as i32;
    if !(-4..7).contains(&power) {
        return format!("{x:.3e}");
    }
    format!("{x:.*}", (4 - power).max(0) as usize)
}

/// `24.1 (23.9 to 24.3)`; the number alone where there is no interval.
pub fn with_interval(x: f64, i: Option<Interval>) -> String {
    match i {
        Some(i) => format!("{} ({} to {})", num(x), num(i.lo), num(i.hi)),
        None => num(x),
    }
}

/// The number of seeds behind an interval in words, with a warning below five, which tell little of their spread.
pub fn seeds_in_words(seeds: usize) -> String {
    match seeds {
        1 => "one seed".into(),
        n if n < FEW_SEEDS => format!("{n} seeds, too few for more than a hint"),
        n => format!("{n} seeds"),
    }
}

/// Seeds below which an interval is called one of few seeds.
pub const FEW_SEEDS: usize = 5;

/// Rows of cells as lines of text, every column as wide as its widest cell; the first column begins at the left, the
/// others end at the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|x| x.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(c, cell)| match c {
            0 => format!("  {cell:<w$}", w = widths[c]),
            _ => format!("  {cell:>w$}", w = widths[c]),
        });
        cells.collect::<String>().trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_digits_whatever_the_size() {
        let all = [24.123456, 0.0, f64::NAN, 3.2e-9, 123456.0, 0.012345678, -1.0, 4.4e9, f64::INFINITY];
        let told = ["24.123", "0", "-", "3.200e-9", "123456", "0.012346", "-1.0000", "4.400e9", "inf"];
        assert_eq!(all.map(num), told);
        assert_eq!(with_interval(2.0, Some(Interval { lo: 1.0, hi: 3.0 })), "2.0000 (1.0000 to 3.0000)");
        assert_eq!(with_interval(2.0, None), "2.0000");
    }

    #[test]
    fn few_seeds_are_called_few() {
        assert_eq!([1, 5].map(seeds_in_words), ["one seed", "5 seeds"]);
        assert!(seeds_in_words(4).contains("few"));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["agent", "mean"], ["ppo", "1.5"]].map(|r| r.map(String::from).to_vec());
        assert_eq!(aligned(&rows), "  agent  mean\n  ppo     1.5\n");
        assert_eq!(aligned(&[]), "");
    }
}
