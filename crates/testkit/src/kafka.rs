//! Apache Kafka: brokers of a test's own, and Kafka's own tools.

mod classes;
mod cluster;
mod config;
mod markers;
mod metadata;
mod protocol;
mod tls;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::java::{self, Java};
use crate::maven::Jars;
use crate::server::Home;
use crate::{Availability, Recipe, Server};
use cluster::{Broker, Ports};

pub use cluster::Cluster;
pub use config::{Config, Tuning, User};
pub use markers::{OpenTransaction, Outcome};

const JARS: Jars = Jars {
    name: "kafka-4.3.1",
    pom: include_str!("../servers/kafka-4.3.1/pom.xml"),
    sums: include_str!("../servers/kafka-4.3.1/SHA256SUMS"),
};
const JAVA_VERSION_MIN: u32 = 17;
/// A start takes seconds, unless the machine is busy with a build.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(120);
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
const LOGGING: &str = "\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
";

/// A JVM that is up soon and small, and never fast.
const QUICK: [&str; 6] = [
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
];
/// What Kafka's own scripts set, for measurements.
const THROUGHPUT: [&str; 6] = [
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

/// Kafka's programs on this machine.
#[derive(Debug, Clone)]
pub struct Kafka {
    java: Java,
    class_path: OsString,
    /// What makes a quick JVM start quicker.
    classes: Option<PathBuf>,
}

impl Kafka {
    /// Brings Kafka into the cache, which takes a minute or two the first time.
    pub fn install() -> Availability<Self> {
        Self::try_install().context("Kafka cannot be had here").into()
    }

    #[expect(clippy::print_stderr, reason = "slower than it could be is no reason to skip a test")]
    fn try_install() -> Result<Self> {
        let java = Java::find(JAVA_VERSION_MIN)?;
        let lib = JARS.fetch()?;
        let class_path = java::class_path(&lib, JARS.file_names())?;
        let mut kafka = Self { java, class_path, classes: None };
        match classes::archive(&kafka) {
            Ok(archive) => kafka.classes = Some(archive),
            Err(error) => eprintln!("Kafka starts slowly: {error:#}"),
        }
        Ok(kafka)
    }

    /// Starts a cluster and waits until every broker knows all of them.
    pub fn start(&self, config: &Config) -> Result<Cluster> {
        self.start_with(config, &self.jvm(config.tuning))
    }

    /// Returns a command that runs one of Kafka's own programs, for instance
    /// `org.apache.kafka.tools.ProducerPerformance`, with the JVM's defaults and 256 MiB.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = Command::new(self.java.program());
        command.args(["-Xmx256m", "-XX:-UsePerfData", "-cp"]).arg(&self.class_path).arg(class);
        command.stdin(Stdio::null());
        command
    }

    fn start_with(&self, config: &Config, jvm: &[OsString]) -> Result<Cluster> {
        ensure!(config.brokers > 0, "a cluster has a broker");
        let ports = (0..config.brokers).map(|_| Ports::reserve(config));
        let ports = ports.collect::<Result<Vec<_>>>()?;
        let voters = (1..).zip(&ports);
        let voters = voters.map(|(id, ports)| format!("{id}@{}", ports.controller.address()));
        let voters = voters.collect::<Vec<_>>().join(",");
        let mut cluster = Cluster::default();
        for (id, ports) in (1..).zip(ports) {
            let home = Home::create(&format!("kafka-{id}"))?;
            if config.tls {
                cluster.trust(&self.java, home.path())?;
            }
            let settings = config::Settings { id, voters: &voters, ports: &ports, home: &home };
            let properties = home.path().join("server.properties");
            fs::write(&properties, config.properties(&settings)).context("write the properties")?;
            fs::write(home.path().join("log4j2.properties"), LOGGING).context("set up logging")?;
            self.format(&properties, config)?;
            let mut recipe = self.recipe(&home, &properties);
            recipe.arguments.splice(0..0, jvm.iter().cloned());
            let (address, brokers) = (ports.plaintext.address(), usize::from(config.brokers));
            recipe.ready = Box::new(move || metadata::expect_brokers(address, brokers));
            cluster.brokers.push(Broker { server: Server::new(home, recipe), ports });
        }
        cluster.start()?;
        Ok(cluster)
    }

    /// Writes what an empty data directory needs, users included.
    fn format(&self, properties: &Path, config: &Config) -> Result<()> {
        let mut command = Command::new(self.java.program());
        command.args(self.jvm(Tuning::QuickStart)).arg("-cp").arg(&self.class_path);
        command.args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID]);
        command.arg("--config").arg(properties);
        for user in &config.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let (name, password) = (&user.name, &user.password);
                command.arg("--add-scram");
                command.arg(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
        let output = command.stdin(Stdio::null()).output().context("start java")?;
        if !output.status.success() {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            bail!("format: {}{}", text(&output.stdout), text(&output.stderr));
        }
        Ok(())
    }

    fn jvm(&self, tuning: Tuning) -> Vec<OsString> {
        match tuning {
            Tuning::QuickStart => {
                let shared = self.classes.iter().map(|archive| {
                    let mut argument = OsString::from("-XX:SharedArchiveFile=");
                    argument.push(archive);
                    argument
                });
                QUICK.iter().map(OsString::from).chain(shared).collect()
            }
            Tuning::Throughput => THROUGHPUT.iter().map(OsString::from).collect(),
        }
    }

    fn recipe(&self, home: &Home, properties: &Path) -> Recipe {
        let logging = home.path().join("log4j2.properties");
        Recipe {
            program: self.java.program().to_owned(),
            arguments: vec![
                format!("-Dlog4j2.configurationFile={}", logging.display()).into(),
                // Native libraries are unpacked there.
                format!("-Djava.io.tmpdir={}", home.data().display()).into(),
                "-cp".into(),
                self.class_path.clone(),
                "kafka.Kafka".into(),
                properties.into(),
            ],
            environment: Vec::new(),
            ready: Box::new(|| Ok(())),
            ready_within: READY_WITHIN,
            stop_within: STOP_WITHIN,
        }
    }
}
