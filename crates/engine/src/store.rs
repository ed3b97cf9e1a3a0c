//! Table `containers` of `corten.db`.

use std::sync::Arc;

use db::rusqlite::params;
use db::{Component, Database, DbError, Unreadable};
use tokio::sync::oneshot;

use crate::error::{EngineError, Result};
use crate::record::{Record, VERSION};

const COMPONENT: Component = Component {
    name: "containers",
    migrations: &["CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        record TEXT NOT NULL
    ) STRICT"],
};

/// Containers on disk.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
}

/// What is on disk.
#[derive(Debug)]
pub(crate) struct Everything {
    /// Containers.
    pub(crate) records: Vec<Record>,
    /// Rows that do not parse: they are left alone, and so are their directories.
    pub(crate) unreadable: Vec<Unreadable>,
    /// Ids and names of those: the names stay taken.
    pub(crate) damaged_names: Vec<(String, String)>,
}

impl Store {
    /// Opens the table.
    pub(crate) fn open(database: Database) -> Result<Self> {
        database
            .migrate(COMPONENT)
            .map_err(|error| EngineError::system("cannot open the container table", error))?;
        Ok(Self { database })
    }

    /// Gives back memory that only makes the next access faster.
    pub(crate) fn release_memory(&self) {
        self.database.release_memory();
    }

    /// Reads all rows.
    pub(crate) fn load(&self) -> Result<Everything> {
        let loaded = self
            .database
            .read(|connection| {
                db::load(connection, "SELECT id, record FROM containers ORDER BY rowid", [], |row| {
                    let record: Record = serde_json::from_str(&row.get::<_, String>(1)?)?;
                    if record.version > VERSION {
                        return Err(format!("a newer corten wrote it (version {})", record.version).into());
                    }
                    Ok(record)
                })
            })
            .map_err(|error: DbError| EngineError::system("cannot read the container table", error))?;
        let unreadable = loaded.unreadable;
        let damaged_names = self.names_of(&unreadable)?;
        Ok(Everything { records: loaded.rows, unreadable, damaged_names })
    }

    fn names_of(&self, rows: &[Unreadable]) -> Result<Vec<(String, String)>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let named = self.database.read(|connection| {
            db::load(connection, "SELECT id, name FROM containers", [], |row| Ok((row.get(0)?, row.get(1)?)))
        });
        let named = named
            .map_err(|error: DbError| EngineError::system("cannot read the container table", error))?
            .rows;
        Ok(named.into_iter().filter(|(id, _)| rows.iter().any(|row| row.key == *id)).collect())
    }

    /// Writes a row, new or not. When it returns, the row survives the death of this process.
    pub(crate) async fn put(&self, record: Arc<Record>) -> Result<()> {
        let text = serde_json::to_string(&*record)
            .map_err(|error| EngineError::system("cannot write the container's record", error))?;
        self.run("cannot save the container", move |tx| {
            tx.prepare_cached(
                "INSERT INTO containers (id, name, record) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record",
            )?
            .execute(params![record.id, record.name, text])?;
            Ok(())
        })
        .await
    }

    /// Removes a row.
    pub(crate) async fn delete(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.run("cannot remove the container's record", move |tx| {
            tx.prepare_cached("DELETE FROM containers WHERE id = ?1")?.execute(params![id])?;
            Ok(())
        })
        .await
    }

    /// Runs a transaction, a second time when there was no room at first.
    async fn run<F>(&self, what: &'static str, work: F) -> Result<()>
    where
        F: Fn(&db::rusqlite::Transaction<'_>) -> std::result::Result<(), DbError> + Clone + Send + 'static,
    {
        let outcome = match self.run_once(work.clone()).await {
            Some(Err(error)) if error.is_disk_full() => self.run_once(work).await,
            outcome => outcome,
        };
        match outcome {
            Some(outcome) => outcome.map_err(|error| EngineError::system(what, error)),
            None => Err(EngineError::system(what, "the database's writer has failed")),
        }
    }

    async fn run_once<F>(&self, work: F) -> Option<std::result::Result<(), DbError>>
    where
        F: FnOnce(&db::rusqlite::Transaction<'_>) -> std::result::Result<(), DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.database.write_then(work, move |outcome| {
            // The one who asked may have been cancelled; the write stands all the same.
            let _ = sender.send(outcome);
        });
        receiver.await.ok()
    }
}
