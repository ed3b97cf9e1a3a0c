//! Reading rows so that a bad one costs only itself.

use std::error::Error;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

use crate::DbError;

/// Rows that parsed, and the names of those that did not.
#[derive(Debug)]
pub struct Loaded<T> {
    /// What parsed.
    pub rows: Vec<T>,
    /// What did not; the rows stay in the table for whoever repairs them.
    pub unreadable: Vec<Unreadable>,
}

/// A row that does not parse.
#[derive(Debug)]
pub struct Unreadable {
    /// The row's first column, as text.
    pub key: String,
    /// Why it does not parse.
    pub reason: String,
}

/// Runs `sql` and parses each row; a row that fails is set aside under its first column.
///
/// A start-up that reads a table goes through this, so that a damaged row quarantines its own object only.
pub fn load<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut parse: impl FnMut(&Row<'_>) -> Result<T, Box<dyn Error + Send + Sync>>,
) -> Result<Loaded<T>, DbError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut loaded = Loaded { rows: Vec::new(), unreadable: Vec::new() };
    while let Some(row) = rows.next()? {
        match parse(row) {
            Ok(value) => loaded.rows.push(value),
            Err(reason) => {
                loaded.unreadable.push(Unreadable { key: key_of(row), reason: reason.to_string() });
            }
        }
    }
    Ok(loaded)
}

fn key_of(row: &Row<'_>) -> String {
    match row.get_ref(0) {
        Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        Ok(ValueRef::Integer(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
