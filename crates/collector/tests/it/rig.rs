//! A running collector, the log behind it, and clients that send exactly the bytes they are told.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use millstream_collector::{AlwaysReady, Collector, Config, Readiness, Settings, Topic};
use millstream_log::memory::MemoryLog;
use millstream_log::{
    Append, Bounds, Committed, EnqueueError, Log, LogAdmin, LogReader, OpenError, Opened, Owner,
    ReaderError, RecordOutcome, TopicConfig, TopicKind,
};
use millstream_model::{
    LogPosition, Offset, RecordBatch, TaskId, Timestamp, TopicName, TopicPartition,
};
use millstream_runtime::{Clock, Context, Rng, TaskHandle, TaskKind, spawn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::partial;

pub(crate) const PARTITIONS: u32 = 4;
/// What the collector's clock says.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// A collector that runs.
pub(crate) struct Rig {
    pub(crate) addr: SocketAddr,
    pub(crate) log: MemoryLog,
    enqueued: watch::Receiver<usize>,
    faults: Arc<Mutex<Faults>>,
    cx: Context,
    running: TaskHandle<Result<(), millstream_collector::CollectorError>>,
}

/// A record as a reader sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) partition: u32,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<String>,
    pub(crate) value: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// One worker, small bounds, and nothing that is timed unless a test sets it.
pub(crate) fn config() -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), workers: 1, ..Config::default() }
}

impl Rig {
    pub(crate) async fn start(config: Config) -> Result<Self> {
        Self::start_with(config, Arc::new(AlwaysReady)).await
    }

    pub(crate) async fn start_with(config: Config, readiness: Arc<dyn Readiness>) -> Result<Self> {
        let cx = Context::background();
        let clock = Clock::manual(NOW);
        let log = MemoryLog::new(clock.clone(), Rng::from_seed(1));
        let name = TopicName::new("events")?;
        let topic =
            TopicConfig { partitions: PARTITIONS, kind: TopicKind::Events, retention: None };
        log.admin().ensure_topic(&cx, &name, &topic).await?;
        let (count, enqueued) = watch::channel(0);
        let faults = Arc::<Mutex<Faults>>::default();
        let counted = Arc::new(Counted { log: log.clone(), count, faults: Arc::clone(&faults) });
        let topic = Topic { name, partitions: PARTITIONS };
        let settings = Settings { log: counted, topic, clock, readiness };
        let bound = Collector::bind(config, settings)?;
        let addr = bound.local_addr();
        let run_cx = cx.clone();
        let running =
            spawn(&cx, TaskKind("test.collector"), async move { bound.run(&run_cx).await });
        Ok(Self { addr, log, enqueued, faults, cx, running })
    }

    pub(crate) async fn client(&self) -> Result<Client> {
        Client::connect(self.addr).await
    }

    /// Holds the log and posts `body`: the client that is returned waits for its answer.
    pub(crate) async fn busy_client(&mut self, body: &str) -> Result<Client> {
        self.log.hold();
        let mut client = self.client().await?;
        client.send(post("", body)).await?;
        self.enqueued(1).await?;
        Ok(client)
    }

    /// Begins to drain, and returns when a connection that rested has been closed for it.
    pub(crate) async fn drain_begun(&self) -> Result<()> {
        let mut resting = self.client().await?;
        ensure!(resting.get("/livez").await?.status == 200, "alive before the drain");
        self.cancel();
        resting.closed().await
    }

    /// Makes the log answer for each record, as Kafka does: those that hold `text` have this
    /// outcome and are not stored.
    pub(crate) fn fail(&self, text: &str, outcome: RecordOutcome) {
        self.faults.lock().expect("no test panics with it").push((text.to_owned(), outcome));
    }

    /// Waits until the log was handed `count` appends in all.
    pub(crate) async fn enqueued(&mut self, count: usize) -> Result<()> {
        self.enqueued.wait_for(|seen| *seen >= count).await?;
        Ok(())
    }

    /// Returns how many appends the log was handed.
    pub(crate) fn appends(&self) -> usize {
        *self.enqueued.borrow()
    }

    /// Begins to drain.
    pub(crate) fn cancel(&self) {
        self.cx.cancel();
    }

    /// Drains to the end.
    pub(crate) async fn stop(mut self) -> Result<Vec<Stored>> {
        self.cancel();
        self.running.join().await??;
        self.stored()
    }

    /// Returns every durable record, by partition and offset.
    pub(crate) fn stored(&self) -> Result<Vec<Stored>> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let mut stored = Vec::new();
        for partition in 0..PARTITIONS {
            let from = TopicPartition::new(TopicName::new("events")?, partition);
            for batch in self.log.records(&from) {
                for (offset, record) in batch.iter() {
                    let headers = record.headers.iter();
                    let headers = headers.map(|(name, value)| Ok((name.to_owned(), text(value)?)));
                    stored.push(Stored {
                        partition,
                        offset,
                        timestamp: record.timestamp,
                        key: record.key.map(text).transpose()?,
                        value: text(record.value.context("no tombstones")?)?,
                        headers: headers.collect::<Result<_>>()?,
                    });
                }
            }
        }
        Ok(stored)
    }

    /// Returns the values of every durable record, sorted.
    pub(crate) fn values(&self) -> Result<Vec<String>> {
        let mut values: Vec<_> = self.stored()?.into_iter().map(|stored| stored.value).collect();
        values.sort();
        Ok(values)
    }
}

/// What records hold that fail, and how.
pub(crate) type Faults = Vec<(String, RecordOutcome)>;

/// The log in memory, how often it was appended to, and which records fail.
#[derive(Debug)]
struct Counted {
    log: MemoryLog,
    count: watch::Sender<usize>,
    faults: Arc<Mutex<Faults>>,
}

#[async_trait]
impl Log for Counted {
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError> {
        self.log.open(cx, owner).await
    }

    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError> {
        let faults = self.faults.lock().expect("no test panics with it");
        let enqueued = if faults.is_empty() {
            self.log.enqueue(records)
        } else {
            partial::enqueue(&self.log, &faults, &records)
        };
        self.count.send_modify(|count| *count += 1);
        enqueued
    }

    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        self.log.reader(cx, partition, from).await
    }

    async fn bounds(&self, cx: &Context, of: &TopicPartition) -> Result<Bounds, ReaderError> {
        self.log.bounds(cx, of).await
    }

    async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        self.log.committed(cx, task).await
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        self.log.admin()
    }
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    received: Vec<u8>,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, received: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.socket.write_all(bytes.as_ref()).await?)
    }

    /// Posts `body` to `/track` and returns the answer.
    pub(crate) async fn post(
        &mut self,
        content_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Result<Answer> {
        self.send(post(&format!("content-type: {content_type}\r\n"), body)).await?;
        self.answer().await
    }

    pub(crate) async fn track(&mut self, body: &str) -> Result<Answer> {
        self.post("application/json", body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await?;
        self.answer().await
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let head_len = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(self.read_more().await?, "closed before a whole head: {:?}", self.text());
        };
        let head = String::from_utf8(self.received.drain(..head_len).collect())?;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?;
        let status = status.parse()?;
        let split = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.to_owned()))
        };
        let headers: Vec<_> = lines.filter_map(split).collect();
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
        while self.received.len() < length {
            ensure!(self.read_more().await?, "closed before a whole body: {:?}", self.text());
        }
        answer.body = String::from_utf8(self.received.drain(..length).collect())?;
        Ok(answer)
    }

    /// Returns whether anything has arrived that was not read.
    pub(crate) fn is_silent(&mut self) -> Result<bool> {
        let mut space = [0; 1024];
        match self.socket.try_read(&mut space) {
            Ok(count) => {
                self.received.extend_from_slice(&space[..count]);
                Ok(false)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Ok(self.received.is_empty())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the other side closes, which must not say anything more.
    pub(crate) async fn closed(&mut self) -> Result<()> {
        match self.read_more().await {
            Ok(false) => Ok(()),
            // What we sent and it did not read makes closing a reset.
            Err(error) if error.to_string().contains("reset") => Ok(()),
            Ok(true) => bail!("unexpected: {:?}", self.text()),
            Err(error) => Err(error),
        }
    }

    async fn read_more(&mut self) -> Result<bool> {
        Ok(self.socket.read_buf(&mut self.received).await? > 0)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {:?}", self.body))
    }

    /// Returns the `code` of a problem, checked to be one.
    pub(crate) fn code(&self) -> Result<String> {
        ensure!(self.header("content-type") == Some("application/problem+json"), "{self:?}");
        let json = self.json()?;
        ensure!(json["status"] == self.status, "{json}");
        Ok(json["code"].as_str().context("a code")?.to_owned())
    }
}

/// Returns the bytes of a `POST /track` with these header lines.
pub(crate) fn post(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut head = String::from("POST /track HTTP/1.1\r\nhost: test\r\n");
    write!(head, "{headers}content-length: {}\r\n\r\n", body.len()).expect("a string");
    [head.as_bytes(), body].concat()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
