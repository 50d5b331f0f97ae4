//! Asks a broker who is in its cluster: the smallest exchange of Kafka's protocol that shows that
//! it serves requests, and not only that its port is open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// How long a broker that is starting may keep one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// An answer names brokers and no topic.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A metadata request of version 1 for no topic: length, API 3, version, correlation 7, no client
/// id, an empty list of topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];

/// Fails unless the broker answers and knows so many brokers, itself included.
pub(super) fn expect_brokers(address: SocketAddr, count: usize) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).context("connect")?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).context("limit the wait")?;
    stream.write_all(&REQUEST).context("ask for the cluster")?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("no answer")?;
    let length = usize::try_from(u32::from_be_bytes(length)).context("no length")?;
    ensure!((8..=ANSWER_BYTES_MAX).contains(&length), "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).context("half an answer")?;
    let word = |at: usize| [answer[at], answer[at + 1], answer[at + 2], answer[at + 3]];
    ensure!(word(0) == [0, 0, 0, 7], "an answer to another question");
    let known = u32::from_be_bytes(word(4));
    ensure!(usize::try_from(known)? == count, "{known} of {count} brokers are there");
    Ok(())
}
