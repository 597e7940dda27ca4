//! How an epoch is shown: a bar for people, a line now and then for log files, and its figures at the end.

use std::time::Instant;

use anyhow::Result;
use cliper::metrics::Evaluation;
use cliper::train::{EpochRecord, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// An epoch under way.
pub struct Epoch {
    number: usize,
    of: usize,
    start: Instant,
    bar: ProgressBar,
    recent: f64,
}

impl Epoch {
    /// Starts the clock.
    pub fn start(number: usize, of: usize, pictures: usize) -> Result<Self> {
        let bar = ProgressBar::new(pictures as u64).with_style(ProgressStyle::with_template(
            "epoch {prefix} {bar:30} {pos}/{len} pictures, {per_sec}, {eta} to go, loss {msg}",
        )?);
        bar.set_prefix(format!("{number}/{of}"));
        Ok(Self { number, of, start: Instant::now(), bar, recent: 0.0 })
    }

    /// Shows a step.
    pub fn step(&mut self, progress: Progress) {
        self.bar.inc(progress.samples as u64);
        self.bar.set_message(format!("{:.3}", progress.loss));
        // A log file gets a line now and then instead of the bar.
        self.recent += (progress.loss - self.recent) / 20.0;
        if self.bar.is_hidden() && progress.step.is_multiple_of(50) {
            let rate = self.bar.position() as f64 / self.start.elapsed().as_secs_f64();
            let Progress { step, steps, .. } = progress;
            eprintln!("step {step}/{steps}: loss {:.3}, {rate:.0} pictures a second", self.recent);
        }
    }

    /// Prints the epoch's figures and gives its record.
    pub fn finish(self, loss: f64, evaluation: &Evaluation, history: &[EpochRecord]) -> (EpochRecord, bool) {
        self.bar.finish_and_clear();
        let seconds = self.start.elapsed().as_secs_f64();
        let best = history.iter().all(|record| record.war <= evaluation.war);
        eprintln!(
            "epoch {}/{}: loss {loss:.4}, validation WAR {:.2} % UAR {:.2} %{}, {:.0} pictures a second, {:.0} min to go",
            self.number,
            self.of,
            evaluation.war * 100.0,
            evaluation.uar * 100.0,
            if best { " (best)" } else { "" },
            self.bar.position() as f64 / seconds,
            (self.of - self.number) as f64 * seconds / 60.0
        );
        (EpochRecord { epoch: self.number, loss, seconds, war: evaluation.war, uar: evaluation.uar }, best)
    }
}
