//! Rounds in, a table with spread and ratios out.
//!
//! Contestants alternate: round by round each runs once, so that a disk or a neighbour that slows
//! down slows down all of them. A ratio is taken within a round; what is printed is the median of
//! the rounds with its least and its greatest.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;

/// What one contestant did in one round, after its output was found complete.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// How much was done: requests, bytes or events.
    pub(crate) done: f64,
    /// The time it took.
    pub(crate) seconds: f64,
    /// The CPU time it took.
    pub(crate) cpu_seconds: f64,
    /// The largest resident set.
    pub(crate) peak_bytes: u64,
    /// Median and 99th percentile of a call's time, where calls were timed.
    pub(crate) latency: Option<Latency>,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50: f64,
    /// The 99th percentile.
    pub(crate) p99: f64,
    /// The 99.9th percentile, where there were enough calls to tell.
    pub(crate) p999: Option<f64>,
}

impl Latency {
    /// Takes the percentiles of times that are sorted.
    pub(crate) fn of_sorted(millis: &[f64]) -> Self {
        let at = |thousandths: usize| {
            let index = (millis.len() * thousandths / 1000).min(millis.len().saturating_sub(1));
            millis.get(index).copied().unwrap_or(f64::NAN)
        };
        let p999 = (millis.len() >= 1000).then(|| at(999));
        Self { p50: at(500), p99: at(990), p999 }
    }
}

impl Sample {
    fn rate(&self) -> f64 {
        self.done / self.seconds
    }

    fn per_cpu_second(&self) -> f64 {
        self.done / self.cpu_seconds
    }
}

/// What a ratio compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Done in a second.
    Rate,
    /// Done in a second of CPU time.
    PerCpuSecond,
}

/// A ratio to print, and the aim it stands beside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    /// The contestant above the line.
    pub(crate) of: &'static str,
    /// The contestant below the line.
    pub(crate) to: &'static str,
    /// What is compared.
    pub(crate) measure: Measure,
    /// The aim of the design, if it has one.
    pub(crate) aim: Option<f64>,
}

/// The rounds of one scenario.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    unit: &'static str,
    /// What one unit of the table is: 1 for requests, 1e6 for megabytes.
    scale: f64,
    contestants: Vec<(&'static str, Vec<Sample>)>,
    notes: Vec<String>,
}

impl Report {
    /// Starts a report; the table shows `done / scale` as `unit`.
    pub(crate) fn new(title: String, unit: &'static str, scale: f64) -> Self {
        Self { title, unit, scale, contestants: Vec::new(), notes: Vec::new() }
    }

    /// Adds what a contestant did in one round.
    pub(crate) fn add(&mut self, name: &'static str, sample: Sample) {
        match self.contestants.iter_mut().find(|(found, _)| *found == name) {
            Some((_, samples)) => samples.push(sample),
            None => self.contestants.push((name, vec![sample])),
        }
    }

    /// Adds a line that stands below the ratios.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Prints the table, the ratios and the notes.
    pub(crate) fn print(&self, ratios: &[Ratio]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(self.render(ratios)?.as_bytes())?;
        Ok(out.flush()?)
    }

    fn render(&self, ratios: &[Ratio]) -> Result<String> {
        let mut text = String::new();
        let Self { title, unit, scale, .. } = self;
        writeln!(text, "\n### {title}\n")?;
        writeln!(
            text,
            "| Contestant | {unit}/s (least–most) | {unit} per CPU-s | CPU s | Peak MB | p50 / p99 / p99.9 ms |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for (name, samples) in &self.contestants {
            let rate = Spread::of(samples.iter().map(|sample| sample.rate() / scale));
            let per_cpu = Spread::of(samples.iter().map(|sample| sample.per_cpu_second() / scale));
            let cpu = Spread::of(samples.iter().map(|sample| sample.cpu_seconds));
            let peak = samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or(0) >> 20;
            write!(text, "| {name} | {rate} | {per_cpu} | {:.2} | {peak} |", cpu.median)?;
            match samples.iter().filter_map(|sample| sample.latency).next_back() {
                Some(_) => {
                    let all = || samples.iter().filter_map(|sample| sample.latency);
                    let p50 = Spread::of(all().map(|latency| latency.p50)).median;
                    let p99 = Spread::of(all().map(|latency| latency.p99)).median;
                    write!(text, " {p50:.2} / {p99:.2}")?;
                    let tails: Vec<f64> = all().filter_map(|latency| latency.p999).collect();
                    if !tails.is_empty() {
                        write!(text, " / {:.2}", Spread::of(tails.into_iter()).median)?;
                    }
                    writeln!(text, " |")?;
                }
                None => writeln!(text, " – |")?,
            }
        }
        writeln!(text)?;
        for ratio in ratios {
            if let Some(line) = self.ratio(ratio) {
                writeln!(text, "- {line}")?;
            }
        }
        for note in &self.notes {
            writeln!(text, "- {note}")?;
        }
        Ok(text)
    }

    /// Returns the line of one ratio, when both contestants ran.
    fn ratio(&self, ratio: &Ratio) -> Option<String> {
        let samples = |name| self.contestants.iter().find(|(found, _)| *found == name);
        let (_, above) = samples(ratio.of)?;
        let (_, below) = samples(ratio.to)?;
        let value = |sample: &Sample| match ratio.measure {
            Measure::Rate => sample.rate(),
            Measure::PerCpuSecond => sample.per_cpu_second(),
        };
        let rounds = above.iter().zip(below).map(|(above, below)| value(above) / value(below));
        let spread = Spread::of(rounds);
        let measure = match ratio.measure {
            Measure::Rate => "by rate",
            Measure::PerCpuSecond => "per CPU-second",
        };
        let verdict = match ratio.aim {
            Some(aim) if spread.median >= aim => format!("; aim ≥ {aim}: met"),
            Some(aim) => format!("; aim ≥ {aim}: **not met**"),
            None => String::new(),
        };
        Some(format!("{} ÷ {}, {measure}: **{spread}**{verdict}", ratio.of, ratio.to))
    }
}

/// The median, the least and the greatest of some numbers.
#[derive(Debug, Clone, Copy)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            at(half)
        } else {
            f64::midpoint(at(half.wrapping_sub(1)), at(half))
        };
        Self { median, least: at(0), most: at(values.len().wrapping_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { 0 };
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

#[cfg(test)]
mod tests;
