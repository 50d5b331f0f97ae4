//! Measures the standard five rules on events of about 1 KB, in MB per CPU-second.
//!
//! `cargo run --release -p millstream-pipeline --example clean_rate`
//!
//! Prints, from one run over the same bytes (or only what an argument names, for a profile): parsing alone, cleaning without rules, cleaning with
//! the five rules. CPU time is the kernel's, of this thread.

use std::hint::black_box;

use anyhow::Context as _;
use millstream_log::OffsetBatch;
use millstream_model::{Headers, Offset, RecordBatchBuilder, Timestamp, TopicName, TopicPartition};
use millstream_pipeline::cleaner::Settings;
use millstream_pipeline::event::Limits;
use millstream_pipeline::step::{default, remove, rename, require, timestamp};
use millstream_pipeline::{Cleaner, EventBuffers, StepConfig};
use millstream_runtime::Rng;

const EVENTS: u64 = 4000;
const ROUNDS: u32 = 400;

fn main() -> anyhow::Result<()> {
    let batch = events(&mut Rng::from_seed(1));
    let bytes: usize =
        batch.records.iter().filter_map(|record| record.value).map(<[u8]>::len).sum();
    report(&format!("{EVENTS} events of {} bytes on average", bytes as u64 / EVENTS))?;
    let mut buffers = EventBuffers::new();
    measure("parse", bytes, || {
        for record in &batch.records {
            let json = record.value.unwrap_or_default();
            black_box(buffers.read(json, Limits::default()).is_ok());
        }
    })?;
    let partition = TopicPartition::new(TopicName::new("events")?, 0);
    for (name, steps) in [("no rules", Vec::new()), ("five rules", five_rules())] {
        let mut cleaner = cleaner(steps)?;
        let mut outputs = cleaner.outputs(0);
        cleaner.clean(&partition, &batch, &mut outputs);
        anyhow::ensure!(outputs.counts.read == EVENTS && outputs.counts.is_balanced(), "counts");
        report(&format!("{name}: {:?}", outputs.counts))?;
        measure(name, bytes, || {
            let mut outputs = cleaner.outputs(batch.records.as_bytes().len());
            cleaner.clean(&partition, &batch, &mut outputs);
            black_box(outputs);
        })?;
    }
    Ok(())
}

fn cleaner(steps: Vec<StepConfig>) -> anyhow::Result<Cleaner> {
    let settings = Settings {
        pipeline: "events".to_owned(),
        steps,
        schema: None,
        limits: Limits::default(),
        input_partitions: 4,
        output_partitions: 4,
    };
    Ok(Cleaner::new(&settings)?)
}

fn five_rules() -> Vec<StepConfig> {
    let text = str::to_owned;
    vec![
        StepConfig::Require(require::Config { fields: vec![text("user_id"), text("event")] }),
        StepConfig::Default(default::Config {
            fields: vec![(text("properties.channel"), "unknown".into())],
        }),
        StepConfig::Timestamp(timestamp::Config { fields: vec![text("timestamp")] }),
        StepConfig::Remove(remove::Config { fields: vec![text("bad_field")] }),
        StepConfig::Rename(rename::Config {
            fields: vec![(text("context.app_version"), text("app_version"))],
        }),
    ]
}

/// Events as a web shop's tracker sends them: each rule has work in a part of them.
fn events(rng: &mut Rng) -> OffsetBatch {
    let mut records = RecordBatchBuilder::new();
    for number in 0..EVENTS {
        let json = event(number, rng);
        let time = Timestamp::from_millis(1_795_342_272_345);
        records.push_with(time, None, Headers::EMPTY, |out| out.extend_from_slice(json.as_bytes()));
    }
    OffsetBatch { first: Offset::ZERO, records: records.finish() }
}

fn event(number: u64, rng: &mut Rng) -> String {
    let id = rng.next_u128();
    let user = if rng.chance(1, 50) { String::new() } else { format!(r#""user_id":"u{number}","#) };
    let timestamp = match rng.below(3) {
        0 => "\"2026-11-22T10:11:12.345+01:00\"".to_owned(),
        1 => "\"2026-11-22 10:11:12\"".to_owned(),
        _ => (1_795_342_272_345 + number).to_string(),
    };
    let channel = match rng.below(3) {
        0 => r#""channel":"web","#,
        1 => r#""channel":null,"#,
        _ => "",
    };
    let bad = if rng.chance(1, 3) { r#""bad_field":{"debug":[1,2,3]},"# } else { "" };
    let price = rng.below(100_000);
    format!(
        r#"{{"message_id":"{id:032x}",{user}"event":"product_viewed","timestamp":{timestamp},{bad}"anonymous_id":"a-{id:x}","type":"track","session":{{"id":"{id:x}","number":{number},"first_seen":"2026-11-01T08:00:00.000Z"}},"properties":{{{channel}"product_id":"sku-{number}","name":"Aeropress \u00e9dition coffee maker, 1 to 3 cups","category":"kitchen/coffee","price":{price}.99,"currency":"EUR","quantity":{},"in_stock":true,"coupon":null,"tags":["coffee","kitchen","gift idea"],"url":"https://shop.example.com/products/aeropress?utm_source=newsletter&utm_campaign=autumn"}},"context":{{"app_version":"4.12.{}","ip":"203.0.113.42","locale":"de-DE","timezone":"Europe/Berlin","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36","screen":{{"width":1920,"height":1080,"density":2}},"library":{{"name":"analytics.js","version":"2.11.1"}},"page":{{"path":"/products/aeropress","referrer":"https://www.example.org/","title":"Aeropress"}}}}}}"#,
        rng.below(5),
        rng.below(30),
    )
}

fn measure(name: &str, bytes: usize, mut round: impl FnMut()) -> anyhow::Result<()> {
    if std::env::args().nth(1).is_some_and(|only| only != name) {
        return Ok(());
    }
    round();
    let before = cpu_nanos()?;
    for _ in 0..ROUNDS {
        round();
    }
    let nanos = cpu_nanos()? - before;
    let megabytes = bytes as u64 * u64::from(ROUNDS) / 1_000_000;
    let rate = megabytes * 1_000_000_000 / nanos.max(1);
    report(&format!(
        "{name}: {rate} MB per CPU-second ({megabytes} MB in {} ms)",
        nanos / 1_000_000
    ))
}

/// Returns the CPU time of this thread, which is the only one here.
fn cpu_nanos() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_ascii_whitespace().next().context("schedstat has a first field")?.parse()?)
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn report(line: &str) -> anyhow::Result<()> {
    println!("{line}");
    Ok(())
}
