//! Apache Kafka: brokers of a test's own, and Kafka's own tools.

mod config;
mod metadata;
mod tls;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::java::{self, Java};
use crate::maven::Jars;
use crate::server::Home;
use crate::{Availability, Port, Recipe, Server};

pub use config::{Config, Tuning, User};

const JARS: Jars = Jars {
    name: "kafka-4.3.1",
    pom: include_str!("../servers/kafka-4.3.1/pom.xml"),
    sums: include_str!("../servers/kafka-4.3.1/SHA256SUMS"),
};
const JAVA_VERSION_MIN: u32 = 17;
/// Starts take 3 to 12 s, and the machine may be busy with a build.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
const LOGGING: &str = "\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
";

/// Kafka's programs on this machine.
#[derive(Debug, Clone)]
pub struct Kafka {
    java: Java,
    class_path: OsString,
}

/// Brokers that form one cluster; one, unless the configuration asks for more.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
    certificate: Option<PathBuf>,
}

#[derive(Debug)]
struct Broker {
    server: Server,
    ports: Ports,
}

/// The listeners of a broker.
#[derive(Debug)]
struct Ports {
    plaintext: Port,
    controller: Port,
    sasl: Option<Port>,
    tls: Option<Port>,
    sasl_tls: Option<Port>,
}

impl Kafka {
    /// Brings Kafka into the cache, which takes a minute or two the first time.
    pub fn install() -> Availability<Self> {
        Self::try_install().context("Kafka cannot be had here").into()
    }

    fn try_install() -> Result<Self> {
        let java = Java::find(JAVA_VERSION_MIN)?;
        let lib = JARS.fetch()?;
        Ok(Self { java, class_path: java::class_path(&lib, JARS.file_names())? })
    }

    /// Starts a cluster and waits until every broker knows all of them.
    pub fn start(&self, config: &Config) -> Result<Cluster> {
        let mut ports = Vec::new();
        for _ in 0..config.brokers {
            ports.push(Ports::reserve(config)?);
        }
        let voters: Vec<String> = (1..)
            .zip(&ports)
            .map(|(id, ports)| format!("{id}@{}", ports.controller.address()))
            .collect();
        let voters = voters.join(",");
        let mut cluster = Cluster { brokers: Vec::new(), certificate: None };
        for (id, ports) in (1..).zip(ports) {
            let home = Home::create(&format!("kafka-{id}"))?;
            if config.tls {
                cluster.certificate = Some(tls::create(&self.java, home.path())?);
            }
            let settings = config::Settings { id, voters: &voters, ports: &ports, home: &home };
            let properties = home.path().join("server.properties");
            fs::write(&properties, config.properties(&settings)).context("write the properties")?;
            fs::write(home.path().join("log4j2.properties"), LOGGING).context("set up logging")?;
            self.format(&properties, config)?;
            let recipe = self.recipe(&home, &properties, &ports, config);
            cluster.brokers.push(Broker { server: Server::new(home, recipe), ports });
        }
        cluster.start()?;
        Ok(cluster)
    }

    /// Returns a command that runs one of Kafka's own programs, for instance
    /// `org.apache.kafka.tools.ProducerPerformance`, with the JVM's defaults and 256 MiB.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = Command::new(self.java.program());
        command.args(["-Xmx256m", "-XX:-UsePerfData", "-cp"]).arg(&self.class_path).arg(class);
        command.stdin(Stdio::null());
        command
    }

    /// Writes what an empty data directory needs, users included.
    fn format(&self, properties: &Path, config: &Config) -> Result<()> {
        let mut command = Command::new(self.java.program());
        command.args(QUICK).arg("-cp").arg(&self.class_path).arg("kafka.tools.StorageTool");
        command.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(properties);
        for user in &config.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let (name, password) = (&user.name, &user.password);
                command.arg("--add-scram");
                command.arg(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
        let output = command.stdin(Stdio::null()).output().context("start java")?;
        if !output.status.success() {
            bail!("format: {}{}", text(&output.stdout), text(&output.stderr));
        }
        Ok(())
    }

    fn recipe(&self, home: &Home, properties: &Path, ports: &Ports, config: &Config) -> Recipe {
        let mut arguments: Vec<OsString> = match config.tuning {
            Tuning::QuickStart => QUICK.iter().map(OsString::from).collect(),
            Tuning::Throughput => THROUGHPUT.iter().map(OsString::from).collect(),
        };
        let logging = home.path().join("log4j2.properties");
        arguments.push(format!("-Dlog4j2.configurationFile={}", logging.display()).into());
        // Native libraries are unpacked there.
        arguments.push(format!("-Djava.io.tmpdir={}", home.data().display()).into());
        arguments.push("-cp".into());
        arguments.push(self.class_path.clone());
        arguments.push("kafka.Kafka".into());
        arguments.push(properties.into());
        let (address, brokers) = (ports.plaintext.address(), usize::from(config.brokers));
        Recipe {
            program: self.java.program().to_owned(),
            arguments,
            environment: Vec::new(),
            ready: Box::new(move || metadata::expect_brokers(address, brokers)),
            ready_within: READY_WITHIN,
            stop_within: STOP_WITHIN,
        }
    }
}

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

impl Cluster {
    /// Starts all brokers that are down and waits until each knows all.
    pub fn start(&mut self) -> Result<()> {
        for broker in &mut self.brokers {
            if !broker.server.is_running()? {
                broker.server.launch()?;
            }
        }
        self.brokers.iter_mut().try_for_each(|broker| broker.server.wait_until_ready())
    }

    /// Returns a broker's process, to be killed, paused and so on. They are counted from 0, and
    /// broker 0 has the node id 1.
    ///
    /// # Panics
    ///
    /// When there are not so many brokers.
    pub fn broker(&mut self, number: usize) -> &mut Server {
        &mut self.brokers[number].server
    }

    /// Returns the `bootstrap.servers` of the listeners without encryption and users.
    pub fn bootstrap(&self) -> String {
        self.addresses(|ports| Some(&ports.plaintext))
    }

    /// Returns the `bootstrap.servers` for `SASL_PLAINTEXT`; empty without users.
    pub fn bootstrap_sasl(&self) -> String {
        self.addresses(|ports| ports.sasl.as_ref())
    }

    /// Returns the `bootstrap.servers` for `SSL`; empty without `tls`.
    pub fn bootstrap_tls(&self) -> String {
        self.addresses(|ports| ports.tls.as_ref())
    }

    /// Returns the `bootstrap.servers` for `SASL_SSL`; empty without both.
    pub fn bootstrap_sasl_tls(&self) -> String {
        self.addresses(|ports| ports.sasl_tls.as_ref())
    }

    /// Returns the file (PEM) with the certificate that clients have to trust.
    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_deref()
    }

    fn addresses<'a>(&'a self, of: impl Fn(&'a Ports) -> Option<&'a Port>) -> String {
        let ports = self.brokers.iter().filter_map(|broker| of(&broker.ports));
        ports.map(|port| port.address().to_string()).collect::<Vec<_>>().join(",")
    }
}

impl Ports {
    fn reserve(config: &Config) -> Result<Self> {
        let sasl = !config.users.is_empty();
        let reserve_if = |wanted: bool| wanted.then(Port::reserve).transpose();
        Ok(Self {
            plaintext: Port::reserve()?,
            controller: Port::reserve()?,
            sasl: reserve_if(sasl)?,
            tls: reserve_if(config.tls)?,
            sasl_tls: reserve_if(sasl && config.tls)?,
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
