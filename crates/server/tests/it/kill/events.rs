//! The events that a client posts: good ones, ones that cleaning rejects, ones that no parser takes.

use millstream_runtime::Rng;

use super::ledger::Fate;

/// How the events of one request are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON object.
    Single,
    /// A JSON array.
    Array,
    /// One JSON object a line.
    Lines,
}

/// One request: its body and the events in it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// Id and fate of each event, in order.
    pub(crate) events: Vec<(String, Fate)>,
}

/// Writes requests; the same seed writes the same ones.
#[derive(Debug)]
pub(crate) struct Requests {
    client: String,
    rng: Rng,
    posted: u64,
}

impl Requests {
    pub(crate) fn new(client: String, seed: u64) -> Self {
        Self { client, rng: Rng::from_seed(seed), posted: 0 }
    }

    /// Writes the next request.
    pub(crate) fn next(&mut self) -> Request {
        let (form, count) = match self.rng.below(4) {
            0 => (Form::Array, 1 + self.rng.below(20)),
            1 => (Form::Lines, 1 + self.rng.below(20)),
            _ => (Form::Single, 1),
        };
        let mut events = Vec::new();
        let mut texts = Vec::new();
        for _ in 0..count {
            let (id, fate, text) = self.event(form);
            events.push((id, fate));
            texts.push(text);
        }
        let (content_type, body) = match form {
            Form::Single => ("application/json", texts.concat()),
            Form::Array => ("application/json", format!("[{}]", texts.join(","))),
            Form::Lines => ("application/x-ndjson", texts.join("\n")),
        };
        Request { content_type, body, events }
    }

    fn event(&mut self, form: Form) -> (String, Fate, String) {
        self.posted += 1;
        let id = format!("{}-{}", self.client, self.posted);
        let user = self.rng.below(1000);
        let time = match self.rng.below(3) {
            0 => r#""2026-11-22T10:11:12.345+02:00""#.to_owned(),
            1 => (1_795_000_000_000 + self.rng.below(172_800_000)).to_string(),
            _ => r#""2026-11-21 10:11:12""#.to_owned(),
        };
        let properties = match self.rng.below(3) {
            0 => r#"{"channel":null,"price":12.50}"#,
            1 => r#"{"channel":"ads","path":"/caf\u00e9"}"#,
            _ => "{}",
        };
        let rest = format!(
            r#""properties":{properties},"context":{{"app_version":"4.{}"}},"bad_field":1"#,
            self.rng.below(9)
        );
        let (fate, text) = match self.rng.below(200) {
            0 => (
                Fate::DeadLetter,
                format!(r#"{{"message_id":"{id}","event":"view","timestamp":{time},{rest}}}"#),
            ),
            1 => (
                Fate::DeadLetter,
                format!(
                    r#"{{"message_id":"{id}","event":"view","user_id":"u{user}","timestamp":"yesterday",{rest}}}"#
                ),
            ),
            // A broken line spoils only itself; a broken array or object spoils the request.
            2 if form == Form::Lines => {
                (Fate::Nowhere, format!(r#"{{"message_id":"{id}","event":"#))
            }
            _ => (
                Fate::Row,
                format!(
                    r#"{{"message_id":"{id}","event":"view","user_id":"u{user}","timestamp":{time},{rest}}}"#
                ),
            ),
        };
        (id, fate, text)
    }
}
