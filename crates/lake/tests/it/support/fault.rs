//! A catalog that records its swaps, and loses requests or answers when told to.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use millstream_lake::{Catalog, LakeError, SqliteCatalog, Swap, TableName};

use super::disk::{Op, Shared, note};

/// What happens to the next swap; later ones go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// It never arrives.
    LoseRequest,
    /// It is done twice, as a repeated request would be; the second answer is returned.
    Repeat,
    /// It is kept back; [`FaultyCatalog::deliver`] sends it later.
    Delay,
}

#[derive(Debug)]
pub(crate) struct FaultyCatalog {
    inner: SqliteCatalog,
    journal: Shared,
    fault: Mutex<Option<Fault>>,
    delayed: Mutex<Vec<(TableName, String, String)>>,
}

impl FaultyCatalog {
    pub(crate) async fn open(dir: &Path, journal: Shared) -> Arc<Self> {
        let disk = millstream_runtime::disk::RealDisk;
        std::fs::create_dir_all(dir).unwrap();
        let inner = SqliteCatalog::open(&disk, &dir.join("catalog.db")).await.unwrap();
        let (fault, delayed) = (Mutex::new(None), Mutex::new(Vec::new()));
        Arc::new(Self { inner, journal, fault, delayed })
    }

    pub(crate) fn inject(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// Sends what was kept back; returns what became of it.
    pub(crate) async fn deliver(&self) -> Vec<Swap> {
        let delayed = std::mem::take(&mut *self.delayed.lock().unwrap());
        let mut outcomes = Vec::new();
        for (table, from, to) in delayed {
            outcomes.push(self.inner.swap(&table, &from, &to).await.unwrap());
        }
        outcomes
    }
}

fn lost() -> LakeError {
    LakeError::Catalog {
        doing: "commit",
        path: "catalog.db".into(),
        source: sqlx::Error::Io(std::io::Error::other("injected")),
    }
}

#[async_trait]
impl Catalog for FaultyCatalog {
    async fn tables(&self) -> Result<Vec<TableName>, LakeError> {
        self.inner.tables().await
    }

    async fn location(&self, table: &TableName) -> Result<Option<String>, LakeError> {
        self.inner.location(table).await
    }

    async fn insert(&self, table: &TableName, location: &str) -> Result<Swap, LakeError> {
        self.inner.insert(table, location).await
    }

    async fn swap(&self, table: &TableName, from: &str, to: &str) -> Result<Swap, LakeError> {
        if note(&self.journal, Op::Swap { to: to.to_owned() }).is_err() {
            return Err(lost());
        }
        let fault = self.fault.lock().unwrap().take();
        match fault {
            None => self.inner.swap(table, from, to).await,
            Some(Fault::LoseRequest) => Err(lost()),
            Some(Fault::LoseAnswer) => {
                self.inner.swap(table, from, to).await?;
                Err(lost())
            }
            Some(Fault::Repeat) => {
                self.inner.swap(table, from, to).await?;
                self.inner.swap(table, from, to).await
            }
            Some(Fault::Delay) => {
                let request = (table.clone(), from.to_owned(), to.to_owned());
                self.delayed.lock().unwrap().push(request);
                Err(lost())
            }
        }
    }
}
