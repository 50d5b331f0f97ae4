//! How full the journal may be for what it is asked to take.
//!
//! Intake stops first, then the processors, then dead letters. Positions are always taken: they
//! are what lets the sinks move on, retention delete, and the backlog drain by itself.

use super::config::Config;
use super::request::{Piece, Work};
use super::state::State;
use crate::topic::TopicKind;

/// The share of `bytes_max`, in percent, at which intake stops.
const INTAKE_PERCENT: u64 = 90;
/// The share at which processors stop.
const PROCESSORS_PERCENT: u64 = 94;
/// The share at which dead letters stop, and with them their pipelines.
const DEAD_LETTERS_PERCENT: u64 = 97;

/// What the journal takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Open,
    /// No more events from outside.
    IntakeClosed,
    /// No more events at all.
    ProcessorsClosed,
    /// Only positions.
    PositionsOnly,
}

impl Level {
    pub(super) fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Open,
            1 => Self::IntakeClosed,
            2 => Self::ProcessorsClosed,
            _ => Self::PositionsOnly,
        }
    }

    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::IntakeClosed => 1,
            Self::ProcessorsClosed => 2,
            Self::PositionsOnly => 3,
        }
    }

    /// Returns whether work of this class is taken.
    pub(super) fn takes(self, class: Class) -> bool {
        match class {
            Class::Intake => self < Self::IntakeClosed,
            Class::Events => self < Self::ProcessorsClosed,
            Class::DeadLetters => self < Self::PositionsOnly,
            Class::Positions => true,
        }
    }
}

/// What kind of work asks for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Intake,
    Events,
    DeadLetters,
    Positions,
}

/// Returns the class of work; a transaction belongs to the strictest of its records.
pub(super) fn class_of(work: &Work, state: &State) -> Class {
    match work {
        Work::Append(_) => Class::Intake,
        Work::Transact(request) if request.pieces.is_empty() => Class::Positions,
        Work::Transact(request) => {
            let is_dead_letter = |piece: &Piece| {
                let entry = state.topics.numbered(piece.key.topic);
                entry.is_some_and(|entry| entry.topic.config.kind == TopicKind::DeadLetters)
            };
            if request.pieces.iter().all(is_dead_letter) {
                Class::DeadLetters
            } else {
                Class::Events
            }
        }
    }
}

/// How much room there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The bytes of the journal's files.
    pub bytes_used: u64,
    /// The free bytes of the disk.
    pub disk_free: u64,
}

impl Room {
    /// Returns what the journal takes with this much room. The free bytes that intake leaves
    /// are shared out like the budget: half for processors, the last quarter for positions.
    pub(super) fn level(self, config: &Config) -> Level {
        let budget = config.bytes_max.bytes();
        let above = |percent: u64| self.bytes_used > budget / 100 * percent;
        let free_min = config.disk_free_min.bytes();
        if above(DEAD_LETTERS_PERCENT) || self.disk_free < free_min / 4 {
            Level::PositionsOnly
        } else if above(PROCESSORS_PERCENT) || self.disk_free < free_min / 2 {
            Level::ProcessorsClosed
        } else if above(INTAKE_PERCENT) || self.disk_free < free_min {
            Level::IntakeClosed
        } else {
            Level::Open
        }
    }
}

#[cfg(test)]
mod tests;
