//! THE epoch loop, of every stage: trains, measures, records, keeps the best, saves; and how it is shown.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use cliper::metrics::Evaluation;
use cliper::train::{EpochRecord, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// A stage's trainer with its data.
pub trait Run {
    /// What the best epoch leaves.
    type Best;

    /// Epochs in all.
    fn epochs(&self) -> usize;

    /// Epochs done.
    fn history(&self) -> &[EpochRecord];

    /// What an epoch goes through, and what that is: pictures, clips, steps.
    fn size(&self) -> (usize, &'static str);

    /// One epoch; its mean loss.
    fn train(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<f64>;

    /// What it is worth on the pictures to choose by.
    fn measure(&mut self) -> Result<Measured<Self::Best>>;

    /// Adds an epoch to the history.
    fn record(&mut self, record: EpochRecord) -> Result<()>;

    /// Puts the state on disk, the best epoch's part where this is the best so far.
    fn save(&mut self, best: Option<Self::Best>) -> Result<()>;
}

/// An epoch's worth.
pub struct Measured<T> {
    pub evaluation: Evaluation,
    /// Said beside WAR and UAR.
    pub note: String,
    pub best: T,
}

/// Trains to the end.
pub fn fit<R: Run>(run: &mut R) -> Result<()> {
    while run.history().len() < run.epochs() {
        let (number, of, (count, things)) = (run.history().len() + 1, run.epochs(), run.size());
        let clock = Instant::now();
        let mut shown = Shown::start(number, of, count, things)?;
        let loss = run.train(&mut |progress| shown.step(progress))?;
        let done = shown.finish();
        let Measured { evaluation: Evaluation { war, uar, .. }, note, best } = run.measure()?;
        let seconds = clock.elapsed().as_secs_f64();
        run.record(EpochRecord { epoch: number, loss, seconds, war, uar })?;
        let is_best = chosen(run.history()).is_some_and(|chosen| chosen.epoch == number);
        run.save(is_best.then_some(best))?;
        eprintln!(
            "epoch {number}/{of}: loss {loss:.4}, {note}validation WAR {:.2} % UAR {:.2} %{}, {:.0} {things} a second, {:.0} \
             min to go",
            war * 100.0,
            uar * 100.0,
            if is_best { " (best)" } else { "" },
            done as f64 / seconds,
            (of - number) as f64 * seconds / 60.0
        );
    }
    Ok(())
}

/// Whether a run has done all its epochs, said with what to do.
pub fn say_if_done(folder: &Path, history: &[EpochRecord], epochs: usize) -> bool {
    let is_done = history.len() >= epochs;
    if is_done {
        eprintln!("{} has done its {epochs} epochs; more of them: --epochs {}", folder.display(), epochs + 1);
    }
    is_done
}

/// The epoch whose WAR is the best; of equals the last, which has seen more at a lower rate.
pub fn chosen(history: &[EpochRecord]) -> Option<&EpochRecord> {
    history.iter().max_by(|one, other| one.war.total_cmp(&other.war))
}

/// An epoch under way: a bar for people, a line now and then for log files.
struct Shown {
    things: &'static str,
    start: Instant,
    bar: ProgressBar,
    recent: f64,
    /// When a line was last said.
    said: Instant,
}

/// A log file hears of an epoch this often.
const SAYS_EVERY: Duration = Duration::from_secs(10);

impl Shown {
    fn start(number: usize, of: usize, count: usize, things: &'static str) -> Result<Self> {
        let template =
            format!("epoch {{prefix}} {{bar:30}} {{pos}}/{{len}} {things}, {{per_sec}}, {{eta}} to go, loss {{msg}}");
        let bar = ProgressBar::new(count as u64).with_style(ProgressStyle::with_template(&template)?);
        bar.set_prefix(format!("{number}/{of}"));
        Ok(Self { things, start: Instant::now(), bar, recent: 0.0, said: Instant::now() })
    }

    fn step(&mut self, progress: Progress) {
        self.bar.inc(progress.samples as u64);
        self.bar.set_message(format!("{:.3}", progress.loss));
        // A log file gets a line now and then instead of the bar.
        self.recent += (progress.loss - self.recent) / 20.0;
        if self.bar.is_hidden() && self.said.elapsed() >= SAYS_EVERY {
            self.said = Instant::now();
            let rate = self.bar.position() as f64 / self.start.elapsed().as_secs_f64();
            let left = self.bar.length().unwrap_or(0).saturating_sub(self.bar.position()) as f64 / rate.max(1e-9);
            let Progress { step, steps, .. } = progress;
            eprintln!(
                "step {step}/{steps}: loss {:.3}, {rate:.0} {} a second, {left:.0} s to go in this epoch",
                self.recent, self.things
            );
        }
    }

    /// How many were gone through.
    fn finish(self) -> u64 {
        self.bar.finish_and_clear();
        self.bar.position()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run whose epochs are worth what is listed.
    struct Listed {
        worth: Vec<f64>,
        history: Vec<EpochRecord>,
        saved: Vec<Option<usize>>,
    }

    impl Run for Listed {
        type Best = usize;

        fn epochs(&self) -> usize {
            self.worth.len()
        }

        fn history(&self) -> &[EpochRecord] {
            &self.history
        }

        fn size(&self) -> (usize, &'static str) {
            (1, "pictures")
        }

        fn train(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<f64> {
            progress(Progress { step: 1, steps: 1, samples: 1, loss: 2.0 });
            Ok(2.0)
        }

        fn measure(&mut self) -> Result<Measured<usize>> {
            let rows = (0..10).map(|at| if (at as f64) < self.worth[self.history.len()] * 10.0 { 1.0 } else { 0.0 });
            let scores: Vec<Vec<f32>> = rows.map(|right| vec![right, 1.0 - right]).collect();
            let evaluation = Evaluation::new(vec!["a".into(), "b".into()], &scores, &[0; 10]);
            Ok(Measured { evaluation, note: String::new(), best: self.history.len() + 1 })
        }

        fn record(&mut self, record: EpochRecord) -> Result<()> {
            self.history.push(record);
            Ok(())
        }

        fn save(&mut self, best: Option<usize>) -> Result<()> {
            self.saved.push(best);
            Ok(())
        }
    }

    #[test]
    fn of_equal_epochs_the_last_is_the_best_and_a_run_goes_on_where_it_stopped() {
        let mut run = Listed { worth: vec![0.5, 0.4], history: Vec::new(), saved: Vec::new() };
        fit(&mut run).unwrap();
        run.worth = vec![0.5, 0.4, 0.5, 0.3];
        fit(&mut run).unwrap();
        assert_eq!(run.saved, [Some(1), None, Some(3), None]);
        let told: Vec<(usize, f64)> = run.history.iter().map(|record| (record.epoch, record.war)).collect();
        assert_eq!(told, [(1, 0.5), (2, 0.4), (3, 0.5), (4, 0.3)]);
        assert_eq!(chosen(&run.history).unwrap().epoch, 3);
    }
}
