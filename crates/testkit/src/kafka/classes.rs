//! Kafka's classes as the JVM has them in memory, in a file: starting from it takes half the CPU
//! time. The JVM writes it when a broker that was told to ends, and ignores one that does not fit.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Config, JARS, Kafka, QUICK};
use crate::cache::{self, Entry};

const FILE: &str = "classes.jsa";

/// Returns the file for this Java; makes it, in about 20 s, if it is not in the cache.
pub(super) fn archive(kafka: &Kafka) -> Result<PathBuf> {
    let java = kafka.java.version();
    let entry = Entry {
        name: &format!("{}-classes-java-{java}", JARS.name),
        fingerprint: &format!("{java}\n{}", JARS.sums),
        verify: &|directory| {
            let file = directory.join(FILE);
            file.metadata().with_context(|| format!("look for {}", file.display())).map(|_| ())
        },
        build: &|directory| record(kafka, directory),
    };
    Ok(cache::directory(&entry).context("keep Kafka's classes")?.join(FILE))
}

/// Runs a broker that writes down which classes it needed.
fn record(kafka: &Kafka, directory: &Path) -> Result<()> {
    let archive = format!("-XX:ArchiveClassesAtExit={}", directory.join(FILE).display());
    let mut jvm: Vec<_> = QUICK.iter().map(Into::into).collect();
    jvm.push(archive.into());
    kafka.start_with(&Config::default(), &jvm)?.broker(0).stop()
}
