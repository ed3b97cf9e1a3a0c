//! What can go wrong with the database.

use std::path::PathBuf;

/// A failure of the database, or of one request to it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file cannot be opened.
    #[error("cannot open database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file is another program's.
    #[error("{} is not a database of corten (application id {found:#x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its application id.
        found: i32,
    },
    /// A newer corten wrote the file.
    #[error(
        "{} was written by a newer version of corten: its {component} tables have version {found}, this program \
         knows up to {known}; upgrade corten, or use another data root", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The component whose tables are too new.
        component: String,
        /// The version in the file.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// A step from one schema version to the next failed; the file is as before.
    #[error("cannot bring the {component} tables to version {version}")]
    Migration {
        /// The component.
        component: String,
        /// The version that was to be reached.
        version: u32,
        /// Why.
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The writer thread cannot be started.
    #[error("cannot start the database's thread")]
    Thread(#[source] std::io::Error),
    /// The request was dropped unanswered: its closure panicked.
    #[error("database: the request was abandoned")]
    Abandoned,
}

impl DbError {
    /// There was no room for it. The log has been emptied since, so it may go when tried again.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}
