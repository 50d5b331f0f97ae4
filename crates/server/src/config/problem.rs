//! What is wrong with a configuration: all of it at once, each with its place and a remedy.

use std::cell::RefCell;
use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};
use serde::Serialize;

use super::source::{Source, Span};

/// The most problems that are shown; a wholly different file is not explained line by line.
const PROBLEMS_SHOWN_MAX: usize = 50;

/// The width of a rendered report, in columns.
const REPORT_COLUMNS: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) at: Span,
    /// The path of keys, as in `sinks.events.columns[2].type`; empty for the file as a whole.
    pub(crate) path: String,
    /// What is wrong, with the value and the allowed range.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// Collects problems while a file is decoded.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds a problem.
    pub(crate) fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Adds a problem at `at`, a place named `path`.
    pub(crate) fn add(&self, at: Span, path: &str, message: impl Into<String>) {
        self.push(Problem { at, path: path.to_owned(), message: message.into(), hint: None });
    }

    /// Adds a problem and what to do about it.
    pub(crate) fn add_with_hint(
        &self,
        at: Span,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let hint = Some(hint.into());
        self.push(Problem { at, path: path.to_owned(), message: message.into(), hint });
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns the problems in the order of the file.
    pub(crate) fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
        problems.dedup();
        problems
    }
}

/// A configuration that cannot be used, and why.
#[derive(Debug, Clone)]
pub(crate) struct InvalidConfig {
    /// The file.
    pub(crate) source: Source,
    /// What is wrong, in the order of the file; never empty.
    pub(crate) problems: Vec<Problem>,
}

/// Whether a report is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// With colours.
    Ansi,
    /// Plain text.
    None,
}

/// One problem as machines read it.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemRow {
    file: String,
    line: usize,
    column: usize,
    path: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl InvalidConfig {
    /// Renders every problem with the line it stands on and a caret.
    pub(crate) fn render(&self, colour: Colour) -> String {
        let theme = match colour {
            Colour::Ansi => GraphicalTheme::unicode(),
            Colour::None => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(REPORT_COLUMNS)
            .with_context_lines(1)
            .without_syntax_highlighting();
        let mut report = String::new();
        for problem in self.problems.iter().take(PROBLEMS_SHOWN_MAX) {
            let shown = Shown { problem, source: self.named_source() };
            handler.render_report(&mut report, &shown).expect("writing to a string does not fail");
            report.push('\n');
        }
        report.push_str(&self.summary());
        report
    }

    /// Returns the problems as rows for machines.
    pub(crate) fn rows(&self) -> Vec<ProblemRow> {
        let row = |problem: &Problem| {
            let (line, column) = self.source.line_and_column(problem.at.start);
            ProblemRow {
                file: self.source.name.clone(),
                line,
                column,
                path: problem.path.clone(),
                message: problem.message.clone(),
                hint: problem.hint.clone(),
            }
        };
        self.problems.iter().map(row).collect()
    }

    fn named_source(&self) -> NamedSource<String> {
        NamedSource::new(&self.source.name, self.source.text.clone())
    }

    fn summary(&self) -> String {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        let shown = if count > PROBLEMS_SHOWN_MAX {
            format!(", the first {PROBLEMS_SHOWN_MAX} are shown")
        } else {
            String::new()
        };
        format!("{count} {noun} in {}{shown}\n", self.source.name)
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.summary().trim_end())
    }
}

impl std::error::Error for InvalidConfig {}

/// A problem beside its file, as the renderer wants it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem.path.as_str() {
            "" => f.write_str(&self.problem.message),
            path => write!(f, "{path}: {}", self.problem.message),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = self.problem.hint.as_ref()?;
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Span { start, end } = self.problem.at;
        // A label beyond the text would hide the whole report.
        let end = end.min(self.source.inner().len());
        let label = LabeledSpan::new_primary_with_span(None, start.min(end)..end);
        Some(Box::new(std::iter::once(label)))
    }
}

/// Returns a hint that names the closest of `known`, or lists them all.
pub(crate) fn did_you_mean(written: &str, known: &[&str]) -> String {
    match closest(written, known) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "nothing is known here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Returns the one of `known` that `written` is likely a misspelling of.
pub(crate) fn closest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(written.len()) / 3)
        .map(|(_, candidate)| candidate)
}
