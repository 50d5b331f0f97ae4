//! A client that posts until its node dies, and notes what it was told.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::events::{Request, Requests};
use super::ledger::{Answer, Entry, Ledger};

/// Longer than any answer takes; a node that neither answers nor dies fails the test elsewhere.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Posts requests one after the other until the connection breaks or `most` are posted.
pub(crate) fn post_until_dead(
    collector: SocketAddr,
    requests: &mut Requests,
    most: usize,
    ledger: &Ledger,
) {
    let Ok(mut connection) = Connection::open(collector) else { return };
    for _ in 0..most {
        let request = requests.next();
        let answer = connection.post(&request);
        let alive = answer.is_ok();
        ledger.enter(entries(request, answer.as_ref().ok()));
        if !alive {
            return;
        }
    }
}

/// An answer's status and body.
type HttpAnswer = (u16, Vec<u8>);

fn entries(request: Request, answer: Option<&HttpAnswer>) -> Vec<Entry> {
    let answers = answers(&request, answer);
    let events = request.events.into_iter().zip(answers);
    events.map(|((id, fate), answer)| (id, fate, answer)).collect()
}

fn answers(request: &Request, answer: Option<&HttpAnswer>) -> Vec<Answer> {
    let told = |answer: Answer| vec![answer; request.events.len()];
    match answer {
        Some((200, body)) => {
            let mut answers = told(Answer::Acknowledged);
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            for result in body["results"].as_array().into_iter().flatten() {
                if result["status"] == "rejected" {
                    answers[usize::try_from(result["index"].as_u64().unwrap()).unwrap()] =
                        Answer::Rejected;
                }
            }
            answers
        }
        Some((400, _)) => told(Answer::Rejected),
        Some((503, _)) | None => told(Answer::Unknown),
        Some((status, body)) => {
            panic!("unexpected answer {status}: {}", String::from_utf8_lossy(body))
        }
    }
}

/// A connection on which one request follows the other.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects to a collector.
    pub(crate) fn open(collector: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(collector)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Posts a request and returns what is known of each of its events.
    pub(crate) fn ask(&mut self, request: &Request) -> Vec<Answer> {
        let answer = self.post(request);
        answers(request, answer.ok().as_ref())
    }

    fn post(&mut self, request: &Request) -> io::Result<HttpAnswer> {
        let Request { content_type, body, .. } = request;
        let length = body.len();
        let head = format!(
            "POST /track HTTP/1.1\r\nhost: kill\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        self.read_answer()
    }

    fn read_answer(&mut self) -> io::Result<HttpAnswer> {
        let status = self.read_line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut length = 0;
        loop {
            let line = self.read_line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}
