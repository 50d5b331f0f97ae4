//! Jars from the Java registry that this machine's Maven is set up for.
//!
//! A `pom.xml` pins what is wanted; the sums beside it pin every file that comes with it, so that a
//! registry cannot hand over anything else.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cache::{self, Entry};
use crate::patience;

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
const FETCH_WITHIN: Duration = Duration::from_secs(600);
const LOG_LINES: usize = 15;

/// A set of jars.
pub(crate) struct Jars {
    /// The name of their directory in the cache, with the version.
    pub(crate) name: &'static str,
    /// What is asked for.
    pub(crate) pom: &'static str,
    /// What has to come, in the form of `sha256sum`.
    pub(crate) sums: &'static str,
}

impl Jars {
    /// Returns the directory with the jars; fetches them if they are not in the cache.
    pub(crate) fn fetch(&self) -> Result<PathBuf> {
        let entry = Entry {
            name: self.name,
            fingerprint: self.sums,
            verify: &|directory| self.verify(directory),
            build: &|directory| self.build(directory),
        };
        Ok(cache::directory(&entry).with_context(|| format!("fetch {}", self.name))?.join("lib"))
    }

    /// Returns the names of the jars.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &'static str> {
        self.sums.lines().filter_map(|line| line.split_whitespace().nth(1))
    }

    fn build(&self, directory: &Path) -> Result<()> {
        fs::write(directory.join("pom.xml"), self.pom).context("write pom.xml")?;
        let log = directory.join("mvn.log");
        let output = File::create(&log).context("create mvn.log")?;
        let mut mvn = Command::new("mvn")
            .args(["--batch-mode", "--no-transfer-progress", "--strict-checksums", COPY])
            .args(["-DincludeScope=runtime", "-DoutputDirectory=lib"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share mvn.log")?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context("start mvn (Maven is not installed?)")?;
        let Some(status) = patience::wait_for_end(&mut mvn, FETCH_WITHIN)? else {
            kill_process_group(Pid::from_child(&mvn), Signal::KILL).context("kill mvn")?;
            mvn.wait().context("wait for mvn")?;
            bail!("mvn took longer than {FETCH_WITHIN:?}");
        };
        if !status.success() {
            bail!("mvn: {status}\n{}", patience::tail(&log, LOG_LINES));
        }
        Ok(())
    }

    /// Compares the jars with the sums, and refuses a jar that has none.
    fn verify(&self, directory: &Path) -> Result<()> {
        let lib = directory.join("lib");
        for entry in fs::read_dir(&lib).with_context(|| format!("list {}", lib.display()))? {
            let name = entry.context("list the jars")?.file_name();
            if !self.file_names().any(|expected| *expected == *name) {
                bail!("{} came, and was not expected", name.display());
            }
        }
        let sums = directory.join("SHA256SUMS");
        fs::write(&sums, self.sums).context("write SHA256SUMS")?;
        let output = Command::new("sha256sum")
            .args(["--check", "--strict", "--quiet", "../SHA256SUMS"])
            .current_dir(&lib)
            .stdin(Stdio::null())
            .output()
            .context("start sha256sum")?;
        if !output.status.success() {
            bail!("wrong sums: {}", String::from_utf8_lossy(&output.stdout).trim());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
