//! Schema versions, one per component, so that stores evolve independently in one file.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::DbError;

/// Marks the file as ours (`PRAGMA application_id`): "cort".
const APPLICATION_ID: i32 = 0x636f_7274;

/// The tables of one store.
///
/// `migrations[n]` brings the tables from version `n` to `n + 1`. A released migration is never edited, only
/// followed by another.
#[derive(Debug, Clone, Copy)]
pub struct Component {
    /// Names the store; its tables begin with it by convention.
    pub name: &'static str,
    /// SQL scripts, in order.
    pub migrations: &'static [&'static str],
}

/// Refuses files of other programs, and makes a new file ours.
pub(crate) fn claim(connection: &Connection, path: &Path) -> Result<(), DbError> {
    let open = |source| DbError::Open { path: path.to_owned(), source };
    let found: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(open)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(open)?;
    if found == 0 && tables == 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(open)?;
    } else if found != APPLICATION_ID {
        return Err(DbError::Foreign { path: path.to_owned(), found });
    }
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS component (
                name TEXT PRIMARY KEY,
                version INTEGER NOT NULL
            ) STRICT",
        )
        .map_err(open)
}

/// Brings the component's tables to the newest version, or refuses a file that is ahead of this program.
pub(crate) fn migrate(tx: &Transaction<'_>, component: &Component, path: &Path) -> Result<(), DbError> {
    let found: u32 = tx
        .query_row("SELECT version FROM component WHERE name = ?1", [component.name], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let known = u32::try_from(component.migrations.len()).expect("a handful of migrations");
    if found > known {
        return Err(DbError::Newer {
            path: path.to_owned(),
            component: component.name.to_owned(),
            found,
            known,
        });
    }
    for (version, script) in (1..).zip(component.migrations) {
        if version <= found {
            continue;
        }
        tx.execute_batch(script).map_err(|source| DbError::Migration {
            component: component.name.to_owned(),
            version,
            source,
        })?;
    }
    if found < known {
        tx.execute(
            "INSERT INTO component (name, version) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            params![component.name, known],
        )?;
    }
    Ok(())
}
