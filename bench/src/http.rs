//! As much of HTTP as the load generator and the latency scenario need: ask, and read an answer.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest answer that is understood, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A connection that asks one thing after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4096) })
    }

    /// Sends a whole request, and returns the body of the answer, which must be a 200.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await.context("send a request")?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the connection was closed in the middle of an answer");
            }
            let Some(head) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&self.answer[..head]).context("a head in no text")?;
            let end = head + 4 + content_length(text)?;
            if end > ANSWER_BYTES_MAX {
                bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
            }
            if self.answer.len() < end {
                continue;
            }
            if !text.starts_with("HTTP/1.1 200") {
                bail!("answered {}", String::from_utf8_lossy(&self.answer));
            }
            return Ok(&self.answer[head + 4..end]);
        }
    }
}

/// Writes a request for `body` over `request`.
pub(crate) fn write_post(request: &mut Vec<u8>, body: &[u8]) {
    request.clear();
    request.extend_from_slice(b"POST /track HTTP/1.1\r\nhost: bench\r\n");
    request.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
    request.extend_from_slice(body.len().to_string().as_bytes());
    request.extend_from_slice(b"\r\n\r\n");
    request.extend_from_slice(body);
}

/// Builds a request for `path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

fn content_length(head: &str) -> Result<usize> {
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return value.trim().parse().context("a length that is no number");
        }
    }
    bail!("an answer without content-length: {head}")
}
