//! While the cluster is away, little is asked of it.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use millstream_log::{AdminError, Log as _};
use millstream_log_kafka::Config;
use millstream_model::TopicName;
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Kafka};

use crate::errors::ONE;
use crate::{block_on, broker};

/// How long the administrator may wait for an answer that does not come.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(3);
/// Far more attempts than pauses between 100 ms and a second allow in that time; a client that does
/// not pause makes thousands.
const ATTEMPTS_MAX: u32 = 60;

/// Takes connections and ends them at once, and counts them.
fn count_connections(listener: TcpListener, is_over: Arc<AtomicBool>) -> Arc<AtomicU32> {
    let count = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&count);
    std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) && listener.accept().is_ok() {
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    count
}

#[test]
fn a_question_without_an_answer_is_no_reason_to_connect_without_a_pause() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let mut cluster = kafka.start(&kafka::Config::default())?;
    let address = cluster.bootstrap();
    let config = Config { request_time_max: REQUEST_TIME_MAX, ..broker::config(&address) };
    block_on(async {
        let cx = Context::background().with_timeout(Duration::from_secs(60));
        let log = broker::connect(&cx, &config).await?;
        let topics = log.admin().topics(&cx).await?;
        ensure!(topics.is_empty(), "{} topics on a new cluster", topics.len());

        cluster.broker(0).kill()?;
        let listener = TcpListener::bind(&address).context("take the broker's place")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let attempts = count_connections(listener, Arc::clone(&is_over));
        let asked = log.admin().ensure_topic(&cx, &TopicName::new("late")?, &ONE).await;
        ensure!(matches!(asked, Err(AdminError::Storage(_))), "{asked:?}");
        is_over.store(true, Ordering::Relaxed);
        let attempts = attempts.load(Ordering::Relaxed);
        ensure!((1..=ATTEMPTS_MAX).contains(&attempts), "{attempts} connections");
        Ok(())
    })
}
