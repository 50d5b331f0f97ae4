//! What the brokers say they have: each record's place, gathered from the delivery reports.

use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::positions::manifest::{Written, crc_of};

/// The reports of one transaction so far.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    written: Vec<Written>,
    /// The first record that could not be delivered.
    failed: Option<ClientError>,
    /// A record of which only its topic and partition are known.
    unplaced: Option<(String, i32)>,
}

impl Delivered {
    /// Notes a record that a broker has.
    pub(super) fn add(&mut self, message: &BorrowedMessage<'_>) {
        let crc = crc_of(message.key(), message.payload());
        self.place((message.topic(), message.partition()), message.offset(), crc);
    }

    fn place(&mut self, (topic, partition): (&str, i32), offset: i64, crc: u32) {
        if offset < 0 {
            // The answer to a repeated request whose first answer was lost long ago.
            self.unplaced = Some((topic.to_owned(), partition));
            return;
        }
        // The reports of a batch come in a row: the last range is nearly always the right one.
        let range = self.written.iter_mut().rev();
        let mut range = range.filter(|range| range.partition == partition && range.topic == topic);
        match range.next() {
            Some(range) if offset == range.last + 1 => {
                range.last = offset;
                range.crc = crc;
            }
            _ => {
                let (first, last) = (offset, offset);
                self.written.push(Written { topic: topic.to_owned(), partition, first, last, crc });
            }
        }
    }

    /// Notes a record that could not be delivered; the first one tells why.
    pub(super) fn fail(&mut self, error: &ClientError) {
        self.failed.get_or_insert_with(|| error.clone());
    }

    /// Takes the first failure.
    pub(super) fn take_failed(&mut self) -> Option<ClientError> {
        self.failed.take()
    }

    /// Returns where everything stands, or the partition of a record of which it is not known.
    pub(super) fn into_written(self) -> Result<Vec<Written>, (String, i32)> {
        match self.unplaced {
            None => Ok(self.written),
            Some(place) => Err(place),
        }
    }
}

#[cfg(test)]
mod tests;
