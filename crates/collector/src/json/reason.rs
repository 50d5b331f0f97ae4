//! Why an event is rejected: a closed set with stable codes.

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A byte that JSON does not allow there.
    MalformedJson,
    /// The text ends inside a value.
    CutShort,
    /// Something follows the end of the value.
    TrailingData,
    /// The event is JSON, but no object.
    NotAnObject,
    /// The event exceeds `event_bytes_max`.
    EventTooLarge,
    /// The event nests deeper than `depth_max`.
    TooDeep,
    /// The event is not UTF-8.
    InvalidUtf8,
    /// A `\u` escape names half of a surrogate pair.
    LoneSurrogate,
    /// An object has a key twice.
    DuplicateKey,
    /// A number is longer than any reader needs.
    NumberTooLong,
    /// A string holds a control character that is not escaped.
    ControlCharacter,
}

impl Reason {
    /// Every reason, in the order of their codes' documentation.
    pub const ALL: [Self; 11] = [
        Self::MalformedJson,
        Self::CutShort,
        Self::TrailingData,
        Self::NotAnObject,
        Self::EventTooLarge,
        Self::TooDeep,
        Self::InvalidUtf8,
        Self::LoneSurrogate,
        Self::DuplicateKey,
        Self::NumberTooLong,
        Self::ControlCharacter,
    ];

    /// Returns the stable code, as it stands in answers and in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::CutShort => "cut_short",
            Self::TrailingData => "trailing_data",
            Self::NotAnObject => "not_an_object",
            Self::EventTooLarge => "event_too_large",
            Self::TooDeep => "too_deep",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LoneSurrogate => "lone_surrogate",
            Self::DuplicateKey => "duplicate_key",
            Self::NumberTooLong => "number_too_long",
            Self::ControlCharacter => "control_character",
        }
    }

    /// Returns the explanation for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::MalformedJson => "JSON does not allow this byte here",
            Self::CutShort => "the JSON ends inside a value",
            Self::TrailingData => "something follows the end of the JSON value",
            Self::NotAnObject => "an event must be a JSON object",
            Self::EventTooLarge => "the event exceeds event_bytes_max",
            Self::TooDeep => "the event nests deeper than depth_max",
            Self::InvalidUtf8 => "the event is not UTF-8",
            Self::LoneSurrogate => "a \\u escape names half of a surrogate pair",
            Self::DuplicateKey => "an object has this key twice",
            Self::NumberTooLong => "a number has too many characters",
            Self::ControlCharacter => "a control character in a string must be escaped",
        }
    }
}

/// A reason and where it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub reason: Reason,
    /// The byte of the request's body, from zero.
    pub at: usize,
}

impl Fault {
    pub(super) fn new(reason: Reason, at: usize) -> Self {
        Self { reason, at }
    }
}
