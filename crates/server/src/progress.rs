//! Progress of long work: a bar on a terminal, one line per interval elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::logging::{colours_on, is_watched};
use crate::output::{say, thousands};

/// How often a line is written where no bar can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows how far a piece of work has come.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    began: Instant,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Starts; `what` names the things that are counted.
    pub(crate) fn start(what: &'static str, total: u64) -> Self {
        let began = Instant::now();
        let shown =
            if is_watched() { Shown::Bar(bar(what, total)) } else { Shown::Lines { last: began } };
        Self { what, total, done: 0, began, shown }
    }

    /// Sets how many are done.
    pub(crate) fn set(&mut self, done: u64) {
        self.done = done.min(self.total);
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_position(self.done),
            Shown::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                self.say_line();
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Ends; the bar goes, its place is for what the command says next.
    pub(crate) fn finish(self) -> Duration {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        self.began.elapsed()
    }

    fn say_line(&self) {
        let percent = self.done * 100 / self.total.max(1);
        let (done, total) = (thousands(self.done), thousands(self.total));
        say(&format!("{}: {done} of {total} ({percent} %)", self.what));
    }
}

fn bar(what: &'static str, total: u64) -> ProgressBar {
    let colour = if colours_on(&std::io::stderr()) { ".cyan/dim" } else { "" };
    let template = format!(
        "{what} {{bar:30{colour}}} {{human_pos}} of {{human_len}}  {{per_sec}}  {{eta}} left"
    );
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    ProgressBar::new(total).with_style(style)
}
