//! Splits a body into events: one, the elements of an array, or lines.

use std::ops::Range;

use super::reason::{Fault, Reason};
use super::scan;
use super::walker::{Routing, Walker};

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The body is one event.
    One,
    /// The body is a JSON array of events.
    Array,
    /// Each line is an event; blank lines do not count (NDJSON, JSON Lines).
    Lines,
}

impl Form {
    /// Tells the form of a body that claims to be JSON: an array, or else one event.
    pub fn of_json(body: &[u8]) -> Self {
        match scan::next_token(body, 0) {
            (Some(b'['), _) => Self::Array,
            _ => Self::One,
        }
    }

    /// Guesses the form of a body that does not say what it is: an array if it begins like one,
    /// one event if one value fills it, else lines.
    pub fn sniff(body: &[u8], walker: &mut Walker) -> Self {
        let (first, start) = scan::next_token(body, 0);
        if first == Some(b'[') {
            return Self::Array;
        }
        match walker.walk(body, start) {
            Ok(walked) if scan::next_token(body, walked.end).0.is_none() => Self::One,
            Ok(_) => Self::Lines,
            Err(_) if second_line_begins_object(&body[start..]) => Self::Lines,
            Err(_) => Self::One,
        }
    }
}

/// Tells lines with a broken first one from a broken event that was written over several lines.
fn second_line_begins_object(text: &[u8]) -> bool {
    memchr::memchr(b'\n', text).is_some_and(|newline| text.get(newline + 1) == Some(&b'{'))
}

/// An event of a body, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Where it stands in the body.
    pub range: Range<usize>,
    /// What routes it, or why it is rejected.
    pub verdict: Result<Routing, Fault>,
}

/// The events of a body, in order.
#[derive(Debug)]
pub struct Events<'a> {
    body: &'a [u8],
    form: Form,
    /// Whether the whole body is UTF-8, so that no event needs a check of its own.
    is_utf8: bool,
    /// Where the next event, or for an array its comma, is looked for.
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    Inside,
    Done,
}

impl<'a> Events<'a> {
    /// Starts before the first event.
    pub fn new(body: &'a [u8], form: Form) -> Self {
        let is_utf8 = simdutf8::basic::from_utf8(body).is_ok();
        Self { body, form, is_utf8, at: 0, state: State::Begin }
    }

    /// Returns how many bytes of the body are behind.
    pub fn bytes_walked(&self) -> usize {
        self.at
    }

    /// Judges the next event; `None` after the last.
    ///
    /// An error means that the body cannot be split as a whole: what was judged before does not
    /// count. It is final.
    pub fn next(&mut self, walker: &mut Walker) -> Result<Option<Judged>, Fault> {
        if self.state == State::Done {
            return Ok(None);
        }
        let next = match self.form {
            Form::One => Ok(self.next_one(walker)),
            Form::Lines => Ok(self.next_line(walker)),
            Form::Array => self.next_element(walker),
        };
        if !matches!(next, Ok(Some(_))) {
            self.state = State::Done;
        }
        next
    }

    fn next_one(&mut self, walker: &mut Walker) -> Option<Judged> {
        if self.state != State::Begin {
            return None;
        }
        self.state = State::Inside;
        self.at = self.body.len();
        let (_, start) = scan::next_token(self.body, 0);
        Some(self.judge_alone(walker, start..trimmed_end(self.body, start, self.body.len())))
    }

    fn next_line(&mut self, walker: &mut Walker) -> Option<Judged> {
        while self.at < self.body.len() {
            let rest = &self.body[self.at..];
            let line_end = self.at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let (_, start) = scan::next_token(&self.body[..line_end], self.at);
            self.at = line_end + 1;
            if start < line_end {
                let end = trimmed_end(self.body, start, line_end);
                return Some(self.judge_alone(walker, start..end));
            }
        }
        None
    }

    /// Judges an event whose end is known before it is walked.
    fn judge_alone(&self, walker: &mut Walker, range: Range<usize>) -> Judged {
        if range.len() > walker.limits.event_bytes_max {
            let verdict = Err(Fault::new(Reason::EventTooLarge, range.start));
            return Judged { range, verdict };
        }
        let text = &self.body[..range.end];
        let verdict = match walker.walk(text, range.start) {
            Err(fault) => Err(fault),
            Ok(walked) => match (scan::next_token(text, walked.end), walked.fault) {
                ((Some(_), at), _) => Err(Fault::new(Reason::TrailingData, at)),
                (_, Some(fault)) => Err(fault),
                _ => Ok(walked.routing),
            },
        };
        let verdict = self.check_utf8(&range, verdict);
        Judged { range, verdict }
    }

    fn next_element(&mut self, walker: &mut Walker) -> Result<Option<Judged>, Fault> {
        let Some(start) = self.element_start()? else { return Ok(None) };
        let walked = walker.walk(self.body, start)?;
        let range = start..walked.end;
        self.at = walked.end;
        let verdict = match walked.fault {
            _ if range.len() > walker.limits.event_bytes_max => {
                Err(Fault::new(Reason::EventTooLarge, start))
            }
            Some(fault) => Err(fault),
            None => Ok(walked.routing),
        };
        let verdict = self.check_utf8(&range, verdict);
        Ok(Some(Judged { range, verdict }))
    }

    /// Finds where the next element begins; `None` after the closing bracket.
    fn element_start(&mut self) -> Result<Option<usize>, Fault> {
        let cut_short = Fault::new(Reason::CutShort, self.body.len());
        let malformed = |at| Fault::new(Reason::MalformedJson, at);
        let (byte, at) = scan::next_token(self.body, self.at);
        let inside = at + 1;
        match (self.state, byte.ok_or(cut_short)?) {
            (State::Begin, b'[') => {
                self.state = State::Inside;
                match scan::next_token(self.body, inside) {
                    (Some(b']'), close) => self.check_end(close + 1),
                    (Some(_), start) => Ok(Some(start)),
                    (None, _) => Err(cut_short),
                }
            }
            (State::Inside, b']') => self.check_end(inside),
            (State::Inside, b',') => match scan::next_token(self.body, inside) {
                (Some(b']'), close) => Err(malformed(close)),
                (Some(_), start) => Ok(Some(start)),
                (None, _) => Err(cut_short),
            },
            _ => Err(malformed(at)),
        }
    }

    /// Checks that nothing follows the array.
    fn check_end(&self, at: usize) -> Result<Option<usize>, Fault> {
        match scan::next_token(self.body, at) {
            (None, _) => Ok(None),
            (Some(_), at) => Err(Fault::new(Reason::TrailingData, at)),
        }
    }

    /// Finds the event that holds the invalid bytes of a body that is not UTF-8 throughout.
    fn check_utf8(
        &self,
        range: &Range<usize>,
        verdict: Result<Routing, Fault>,
    ) -> Result<Routing, Fault> {
        if self.is_utf8 || verdict.is_err() {
            return verdict;
        }
        match simdutf8::compat::from_utf8(&self.body[range.clone()]) {
            Ok(_) => verdict,
            Err(error) => Err(Fault::new(Reason::InvalidUtf8, range.start + error.valid_up_to())),
        }
    }
}

/// Returns the end of `body[start..end]` without the JSON white space at its end.
fn trimmed_end(body: &[u8], start: usize, end: usize) -> usize {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    body[start..end].iter().rposition(is_text).map_or(start, |last| start + last + 1)
}
