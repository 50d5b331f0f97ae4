//! Brokers that run, and where they listen.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{Config, tls};
use crate::java::Java;
use crate::{Port, Server};

/// Where a broker stores everything, in its home.
const STORED: &str = "data/kafka";
/// Where the backup of it lies.
const BACKUP: &str = "data/kafka-backup";

/// Brokers that form one cluster; one, unless the configuration asks for more.
#[derive(Debug, Default)]
pub struct Cluster {
    pub(super) brokers: Vec<Broker>,
    certificate: Option<PathBuf>,
}

/// A broker, which is a controller too.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) server: Server,
    pub(super) ports: Ports,
}

/// The listeners of a broker.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) plaintext: Port,
    pub(super) controller: Port,
    pub(super) sasl: Option<Port>,
    pub(super) tls: Option<Port>,
    pub(super) sasl_tls: Option<Port>,
}

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

    /// Copies what the brokers store, all of which are down; there is one backup at a time.
    pub fn backup(&mut self) -> Result<()> {
        self.copy(|home| (home.join(STORED), home.join(BACKUP)))
    }

    /// Puts the backup in place of what the brokers store, all of which are down.
    pub fn restore(&mut self) -> Result<()> {
        self.copy(|home| (home.join(BACKUP), home.join(STORED)))
    }

    fn copy(&mut self, paths: impl Fn(&Path) -> (PathBuf, PathBuf)) -> Result<()> {
        for broker in &mut self.brokers {
            ensure!(!broker.server.is_running()?, "a broker runs");
            let (from, to) = paths(broker.server.directory());
            if to.try_exists()? {
                let removed = fs::remove_dir_all(&to);
                removed.with_context(|| format!("remove {}", to.display()))?;
            }
            copy_all(&from, &to).with_context(|| format!("copy {}", from.display()))?;
        }
        Ok(())
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

    /// Puts the cluster's key into a broker's home; all brokers have one, for they share a host.
    pub(super) fn trust(&mut self, java: &Java, home: &Path) -> Result<()> {
        match &self.certificate {
            None => self.certificate = Some(tls::create(java, home)?),
            Some(certificate) => {
                let store = certificate.with_file_name(tls::KEY_STORE);
                fs::copy(store, home.join(tls::KEY_STORE)).context("copy the key")?;
            }
        }
        Ok(())
    }

    fn addresses<'a>(&'a self, of: impl Fn(&'a Ports) -> Option<&'a Port>) -> String {
        let ports = self.brokers.iter().filter_map(|broker| of(&broker.ports));
        ports.map(|port| port.address().to_string()).collect::<Vec<_>>().join(",")
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

impl Ports {
    /// Reserves a port for each listener that the configuration asks for.
    pub(super) fn reserve(config: &Config) -> Result<Self> {
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
