//! Sample events of about 1 KB, as the standard cleaning rules expect them.
//!
//! Event `n` is the same in every run. It carries `n` in its `message_id`, at a fixed width, so
//! that a load generator can number a prepared body in place and a check can find every number.

use std::io::Write;

use anyhow::{Context, Result};

/// The digits of the number in a `message_id`.
const NUMBER_DIGITS: usize = 12;

/// What stands before the number.
const NUMBER_PREFIX: &[u8] = b"\"message_id\":\"m-";

/// One event whose number can be changed in place.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Template {
    /// Builds event `number`.
    pub(crate) fn new(number: u64) -> Self {
        let bytes = event(number);
        let number_at = memchr_prefix(&bytes).expect("every event has a message id");
        Self { bytes, number_at }
    }

    /// Returns the size in bytes, which the number does not change.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Numbers the event and returns its bytes.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        let mut rest = number;
        for digit in self.bytes[self.number_at..][..NUMBER_DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
            rest /= 10;
        }
        &self.bytes
    }
}

/// Returns the number in an event's `message_id`.
pub(crate) fn number_of(event: &[u8]) -> Result<u64> {
    let at = memchr_prefix(event).context("an event without a message id of ours")?;
    let digits = event.get(at..at + NUMBER_DIGITS).context("a message id that is cut short")?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}

fn memchr_prefix(event: &[u8]) -> Option<usize> {
    let found = event.windows(NUMBER_PREFIX.len()).position(|window| window == NUMBER_PREFIX);
    found.map(|at| at + NUMBER_PREFIX.len())
}

/// Builds event `number`: all three forms of time, channels that are null, missing or set, a
/// `bad_field` in one of four, and one event in fifty that the rules reject.
pub(crate) fn event(number: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(1100);
    write_event(&mut text, number).expect("writing to memory does not fail");
    text
}

fn write_event(text: &mut Vec<u8>, number: u64) -> std::io::Result<()> {
    const NAMES: [&str; 5] = ["page_view", "product_view", "add_to_cart", "purchase", "sign_in"];
    let name = NAMES[usize::try_from(number % 5).unwrap_or(0)];
    let seconds = number % 60;
    write!(text, "{{\"message_id\":\"m-{number:012}\",\"event\":\"{name}\",")?;
    if number % 50 != 49 {
        write!(text, "\"user_id\":\"user-{:06}\",", number.wrapping_mul(7919) % 100_000)?;
    }
    match number % 3 {
        0 => write!(text, "\"timestamp\":\"2026-11-22T10:11:{seconds:02}.250Z\",")?,
        1 => write!(text, "\"timestamp\":{},", 1_795_342_260_000_u64 + number % 86_400_000)?,
        _ => write!(text, "\"timestamp\":\"2026-11-22 10:11:{seconds:02}\",")?,
    }
    if number.is_multiple_of(4) {
        text.extend_from_slice(b"\"bad_field\":\"left over from an old client\",");
    }
    text.extend_from_slice(b"\"properties\":{");
    match number % 8 {
        0 => text.extend_from_slice(b"\"channel\":null,"),
        1 => {}
        _ => text.extend_from_slice(b"\"channel\":\"newsletter\","),
    }
    write!(
        text,
        "\"page\":{{\"path\":\"/product/wool-blanket\",\"title\":\"Wool blanket, undyed\",\
         \"referrer\":\"https://www.example.com/search?q=blanket&sort=price\"}},\
         \"session\":\"{:016x}\",\"scroll_depth\":{},\"viewport\":[1440,900],\"price\":59.90,\
         \"items\":[{{\"sku\":\"sku-1042\",\"quantity\":1,\"price\":59.90}},\
         {{\"sku\":\"sku-2210\",\"quantity\":2,\"price\":34.50}}],\"experiments\":\
         {{\"checkout_v2\":true,\"ranking\":\"b\",\"free_shipping\":false}}}},",
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        number % 101,
    )?;
    write!(
        text,
        "\"context\":{{\"app_version\":\"4.{}.1\",\"library\":{{\"name\":\"analytics.js\",\
         \"version\":\"2.11.1\"}},\"locale\":\"pt-PT\",\"timezone\":\"Europe/Lisbon\",\
         \"device\":{{\"id\":\"3f8a2c1e-77b0-4d55-9c7e-1b2f60a4d9aa\",\"kind\":\"desktop\",\
         \"os\":\"Linux\",\"memory_gb\":16,\"touch\":false}},\"network\":{{\"type\":\"wifi\",\
         \"downlink_mbps\":48.5}},\"screen\":{{\"width\":1440,\"height\":900,\"density\":2}},\"user_agent\":\"Mozilla/5.0 \
         (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\",\"ip\":\"203.0.113.{}\",\
         \"campaign\":{{\"source\":\"newsletter\",\"medium\":\"email\",\"name\":\"autumn\"}}}}}}",
        number % 20,
        number % 256,
    )
}

#[cfg(test)]
mod tests;
