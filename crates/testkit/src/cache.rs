//! Directories that are made once and kept between runs, outside the checkout.
//!
//! A directory is built beside its place and renamed into it, under a lock: who finds it finds it
//! whole, and of several test processes one builds while the others wait.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::patience;

/// How long one process waits for another that is building.
const BUILD_WITHIN: Duration = Duration::from_secs(900);

/// What a cached directory is made from.
pub(crate) struct Entry<'a> {
    /// Its name, with its version.
    pub(crate) name: &'a str,
    /// Names the contents exactly. A directory with another one is built anew.
    pub(crate) fingerprint: &'a str,
    /// Tells whether a directory has the contents: for one that another tool left here.
    pub(crate) verify: &'a dyn Fn(&Path) -> Result<()>,
    /// Fills a new directory.
    pub(crate) build: &'a dyn Fn(&Path) -> Result<()>,
}

/// Returns the directory of an entry; builds it if it is not there.
pub(crate) fn directory(entry: &Entry<'_>) -> Result<PathBuf> {
    directory_in(&root()?, entry)
}

fn directory_in(root: &Path, entry: &Entry<'_>) -> Result<PathBuf> {
    let place = root.join(entry.name);
    if is_complete(&place, entry.fingerprint) {
        return Ok(place);
    }
    fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
    let _lock = lock(&root.join(format!("{}.lock", entry.name)))?;
    // Another process may have built it while this one waited.
    if is_complete(&place, entry.fingerprint) {
        return Ok(place);
    }
    let found = place.try_exists().with_context(|| format!("look for {}", place.display()))?;
    if found && (entry.verify)(&place).is_ok() {
        mark_complete(&place, entry.fingerprint)?;
        return Ok(place);
    }
    let building = root.join(format!("{}.building", entry.name));
    remove(&building)?;
    fs::create_dir(&building).with_context(|| format!("create {}", building.display()))?;
    (entry.build)(&building)?;
    (entry.verify)(&building)?;
    mark_complete(&building, entry.fingerprint)?;
    remove(&place)?;
    fs::rename(&building, &place).with_context(|| format!("move into {}", place.display()))?;
    Ok(place)
}

/// Returns where everything that tests fetch is kept.
fn root() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME names a place for the cache")?
        .join("millstream"))
}

fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("open {}", path.display()))?;
    let locked = patience::ask_until(BUILD_WITHIN, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("lock the cache"),
    })?;
    if locked.is_none() {
        bail!("another process has held {} for {BUILD_WITHIN:?}", path.display());
    }
    Ok(file)
}

fn is_complete(place: &Path, fingerprint: &str) -> bool {
    fs::read_to_string(place.join(".complete")).is_ok_and(|found| found == fingerprint)
}

fn mark_complete(place: &Path, fingerprint: &str) -> Result<()> {
    let mark = place.join(".complete");
    fs::write(&mark, fingerprint).with_context(|| format!("write {}", mark.display()))
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
