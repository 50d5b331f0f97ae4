//! A key and a certificate for a broker on loopback, by the tool that comes with Java.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::java::Java;

/// The file with the key, in a broker's home.
pub(super) const KEY_STORE: &str = "broker.p12";
/// Of the key store, which no one but a test's broker reads.
pub(super) const PASSWORD: &str = "testkit-only";

/// Makes the key in `directory`, and returns the file with its certificate, which is its own
/// authority.
pub(super) fn create(java: &Java, directory: &Path) -> Result<PathBuf> {
    let store = ["-keystore", KEY_STORE, "-storetype", "PKCS12", "-storepass", PASSWORD];
    let certificate = directory.join("broker.pem");
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new(java.keytool());
        command.args(arguments).args(store).args(["-alias", "broker"]).current_dir(directory);
        let output = command.stdin(Stdio::null()).output().context("start keytool")?;
        if !output.status.success() {
            bail!("keytool: {}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(())
    };
    keytool(&[
        "-genkeypair",
        "-keyalg",
        "EC",
        "-groupname",
        "secp256r1",
        "-validity",
        "2",
        "-dname",
        "CN=localhost",
        "-ext",
        "san=ip:127.0.0.1,dns:localhost",
    ])?;
    keytool(&["-exportcert", "-rfc", "-file", "broker.pem"])?;
    Ok(certificate)
}
