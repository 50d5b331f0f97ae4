//! Kafka's protocol as far as a test needs it: a connection for each request, and finite waits.
//!
//! Since its flexible versions the protocol writes lengths as variable numbers plus one, and ends
//! every structure with a section of tags, which is empty here and skipped there.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// What comes back with the answer.
const CORRELATION: [u8; 4] = [0, 0, 0, 7];
/// Enough for a cluster of a test with all its topics.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A request as it grows.
pub(super) struct Request {
    bytes: Vec<u8>,
    is_flexible: bool,
}

impl Request {
    /// Begins a request of a version before the flexible ones, of no named client.
    pub(super) fn new(api: i16, version: i16) -> Self {
        let start = Self { bytes: Vec::new(), is_flexible: false };
        start.bytes(&api.to_be_bytes()).bytes(&version.to_be_bytes()).bytes(&CORRELATION).i16(-1)
    }

    /// Begins a request of a flexible version.
    pub(super) fn flexible(api: i16, version: i16) -> Self {
        Self { is_flexible: true, ..Self::new(api, version) }.no_tags()
    }

    pub(super) fn i16(self, number: i16) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn i32(self, number: i32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn i64(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.bytes(&[u8::from(flag)])
    }

    /// Adds how many elements follow.
    pub(super) fn count(self, count: usize) -> Self {
        match self.is_flexible {
            true => self.variable(count + 1),
            false => self.i32(i32::try_from(count).expect("a test sends little")),
        }
    }

    pub(super) fn text(self, text: &str) -> Self {
        let start = match self.is_flexible {
            true => self.variable(text.len() + 1),
            false => self.i16(i16::try_from(text.len()).expect("names are short")),
        };
        start.bytes(text.as_bytes())
    }

    /// Ends a structure of a flexible version.
    pub(super) fn no_tags(self) -> Self {
        self.bytes(&[0])
    }

    /// Sends it over a connection of its own and returns what a broker answers; each step of that
    /// may take as long as `step_time_max`.
    pub(super) fn send(self, address: SocketAddr, step_time_max: Duration) -> Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&address, step_time_max).context("connect")?;
        stream.set_read_timeout(Some(step_time_max)).context("limit the wait")?;
        stream.set_write_timeout(Some(step_time_max)).context("limit the wait")?;
        let length = u32::try_from(self.bytes.len()).context("a long request")?;
        let whole = [&length.to_be_bytes(), self.bytes.as_slice()].concat();
        stream.write_all(&whole).context("ask")?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).context("no answer")?;
        let length = usize::try_from(u32::from_be_bytes(length)).context("no length")?;
        ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).context("half an answer")?;
        let mut answer = Answer { bytes, at: 0, is_flexible: self.is_flexible };
        ensure!(answer.array()? == CORRELATION, "an answer to another question");
        answer.tags()?;
        Ok(answer)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn variable(mut self, mut number: usize) -> Self {
        while number >= 0x80 {
            self.bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
            number >>= 7;
        }
        self.bytes(&[u8::try_from(number).expect("what is left is seven bits")])
    }
}

/// An answer, read from its start.
pub(super) struct Answer {
    bytes: Vec<u8>,
    at: usize,
    is_flexible: bool,
}

impl Answer {
    pub(super) fn flag(&mut self) -> Result<bool> {
        Ok(self.array::<1>()? != [0])
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Takes how many elements follow; none stands for a list that is not there, too.
    pub(super) fn count(&mut self) -> Result<usize> {
        match self.is_flexible {
            true => Ok(self.variable()?.saturating_sub(1)),
            false => Ok(usize::try_from(self.i32()?).unwrap_or(0)),
        }
    }

    /// Takes a text; one that is not there is empty.
    pub(super) fn text(&mut self) -> Result<String> {
        let length = match self.is_flexible {
            true => self.variable()?.saturating_sub(1),
            false => usize::try_from(self.i16()?).unwrap_or(0),
        };
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Passes over the tags at a structure's end, where the version has them.
    pub(super) fn tags(&mut self) -> Result<()> {
        let count = if self.is_flexible { self.variable()? } else { 0 };
        for _ in 0..count {
            let _tag = self.variable()?;
            let length = self.variable()?;
            self.take(length)?;
        }
        Ok(())
    }

    fn variable(&mut self) -> Result<usize> {
        let mut number = 0;
        // Longer ones would be more than the 32 bits that there are.
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        bail!("a number of more than 32 bits")
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("so many were taken"))
    }

    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let rest = &self.bytes[self.at..];
        ensure!(rest.len() >= length, "an answer that ends too early");
        self.at += length;
        Ok(&rest[..length])
    }
}
