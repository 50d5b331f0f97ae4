//! The files of tables: iceberg's storage seam on our disk seam, durable before it answers.
//!
//! The storage that comes with iceberg syncs neither metadata files nor directories. Here a
//! write returns only when the file's bytes and its directory entry survive a power cut, so that
//! whatever a catalog row names is on disk before the row is. Files are never overwritten: every
//! name we write carries a fresh id, and an existing one is an error. A file that was not written
//! to its end can be named by nobody: it is removed again, so that a sink that tries for hours on a
//! full disk leaves nothing behind.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use millstream_runtime::disk::{Disk, DiskFile, OpenMode, RealDisk};
use millstream_runtime::{TaskKind, spawn_blocking};
use serde::{Deserialize, Serialize};

use crate::metrics;

const IO: TaskKind = TaskKind("lake-io");

/// Builds the file access of tables on `disk`.
pub(crate) fn file_io(disk: Arc<dyn Disk>) -> FileIO {
    FileIOBuilder::new(Arc::new(DurableStorage { disk: Seam(disk) })).build()
}

/// Returns the URI of a path, in the form that PyIceberg and DuckDB open.
pub(crate) fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Returns the path behind a URI (`file:///a`, `file:/a`) or a plain absolute path.
pub(crate) fn path_of(uri: &str) -> PathBuf {
    let path = uri.strip_prefix("file:").unwrap_or(uri);
    let slashes = path.bytes().take_while(|byte| *byte == b'/').count();
    PathBuf::from(&path[slashes.saturating_sub(1)..])
}

/// Storage on a [`Disk`]; see the module's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DurableStorage {
    #[serde(skip)]
    disk: Seam,
}

/// A disk with a default, which iceberg's serialisable storage needs.
#[derive(Debug, Clone)]
struct Seam(Arc<dyn Disk>);

impl Default for Seam {
    fn default() -> Self {
        Self(Arc::new(RealDisk))
    }
}

impl DurableStorage {
    /// Runs blocking file work apart from the worker threads.
    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        uri: &str,
        work: impl FnOnce(&dyn Disk, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let disk = Arc::clone(&self.disk.0);
        let path = path_of(uri);
        let shown = path.clone();
        let outcome = spawn_blocking(IO, move || work(&*disk, &path)).join().await;
        finish(doing, &shown, outcome)
    }
}

type Joined<T> = std::result::Result<io::Result<T>, millstream_runtime::task::TaskError>;

fn finish<T>(doing: &'static str, path: &Path, outcome: Joined<T>) -> Result<T> {
    let context = || format!("{doing} {}", path.display());
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::new(ErrorKind::Unexpected, context()).with_source(error)),
        Err(error) => Err(Error::new(ErrorKind::Unexpected, context()).with_source(error)),
    }
}

#[async_trait]
#[typetag::serde(name = "millstream")]
impl Storage for DurableStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        let outcome =
            self.run("look for", path, |disk, path| match disk.open(path, OpenMode::Read) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            });
        outcome.await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let size = self.run("open", path, |disk, path| disk.open(path, OpenMode::Read)?.len());
        Ok(FileMetadata { size: size.await? })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.run("read", path, read_all).await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let file = self.run("open", path, |disk, path| disk.open(path, OpenMode::Read)).await?;
        Ok(Box::new(DurableRead { file, path: path_of(path) }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.run("write", path, move |disk, path| {
            let file = create(disk, path)?;
            let written = file.write_all_at(&bytes, 0).and_then(|()| close(disk, path, &*file));
            if written.is_err() {
                remove_unfinished(disk, path);
            }
            written
        })
        .await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let file = self.run("create", path, create).await?;
        let uri = path.to_owned();
        let (storage, at, is_durable) = (self.clone(), 0, false);
        Ok(Box::new(DurableWrite { storage, uri, file, at, is_durable }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.run("remove", path, |disk, path| match disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        })
        .await
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        // Nothing of ours drops a whole table; refusing is safer than a recursive removal.
        let reason = format!("removing all of {path} is not supported");
        Err(Error::new(ErrorKind::FeatureUnsupported, reason))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[typetag::serde(name = "millstream")]
impl StorageFactory for DurableStorage {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Bytes::from(bytes))
}

fn create(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    disk.create_dir_all(parent(path))?;
    disk.open(path, OpenMode::CreateNew)
}

/// Makes a file's bytes, then its name durable.
fn close(disk: &dyn Disk, path: &Path, file: &dyn DiskFile) -> io::Result<()> {
    file.sync_data()?;
    disk.sync_dir(parent(path))
}

/// Removes a file that was created and not written to its end. One that stays is an orphan, which is
/// removed with the others later.
fn remove_unfinished(disk: &dyn Disk, path: &Path) {
    match disk.remove(path) {
        Ok(()) => {
            metrics::removed_unfinished();
            tracing::debug!(path = %path.display(), "unfinished file removed");
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "unfinished file stays behind");
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[derive(Debug)]
struct DurableRead {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

#[async_trait]
impl FileRead for DurableRead {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let file = Arc::clone(&self.file);
        let outcome = spawn_blocking(IO, move || {
            let len = range.end.saturating_sub(range.start);
            let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        });
        finish("read", &self.path, { outcome }.join().await)
    }
}

#[derive(Debug)]
struct DurableWrite {
    storage: DurableStorage,
    uri: String,
    file: Arc<dyn DiskFile>,
    at: u64,
    is_durable: bool,
}

impl Drop for DurableWrite {
    fn drop(&mut self) {
        if self.is_durable {
            return;
        }
        // One removal, of a file that nobody else knows: it need not wait for a thread of its own,
        // and there may be none when the process ends.
        remove_unfinished(&*self.storage.disk.0, &path_of(&self.uri));
    }
}

#[async_trait]
impl FileWrite for DurableWrite {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let file = Arc::clone(&self.file);
        let at = self.at;
        self.at += bytes.len() as u64;
        self.storage.run("write", &self.uri, move |_, _| file.write_all_at(&bytes, at)).await
    }

    async fn close(&mut self) -> Result<()> {
        let file = Arc::clone(&self.file);
        let sync = move |disk: &dyn Disk, path: &Path| close(disk, path, &*file);
        self.storage.run("sync", &self.uri, sync).await?;
        self.is_durable = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
