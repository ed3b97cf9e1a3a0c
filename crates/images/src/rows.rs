//! The tables of this store.

use db::rusqlite::{Connection, Row, Transaction, params};
use db::{Component, DbError, Loaded, load};
use jiff::Timestamp;
use oci::digest::Digest;
use oci::reference::Reference;

use crate::image::{ImageId, Layer};

/// Versions of the tables.
pub(crate) const COMPONENT: Component = Component {
    name: "image",
    migrations: &["
        CREATE TABLE layer (
            diff_id TEXT PRIMARY KEY,
            size INTEGER NOT NULL,          -- bytes of files
            archive_size INTEGER NOT NULL   -- length of the uncompressed archive
        ) STRICT;
        CREATE TABLE image (
            id TEXT PRIMARY KEY,            -- digest of the configuration
            parent TEXT,
            last_tagged TEXT,
            hidden INTEGER NOT NULL         -- 1: removed, kept for the containers that still use it
        ) STRICT;
        CREATE TABLE image_layer (
            image TEXT NOT NULL REFERENCES image ON DELETE CASCADE,
            position INTEGER NOT NULL,      -- 0 is the lowest
            layer TEXT NOT NULL REFERENCES layer,
            PRIMARY KEY (image, position)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX image_layer_by_layer ON image_layer (layer);
        CREATE TABLE image_name (
            name TEXT PRIMARY KEY,          -- normal form with tag or digest
            image TEXT NOT NULL REFERENCES image ON DELETE CASCADE
        ) STRICT;
        CREATE INDEX image_name_by_image ON image_name (image);
    "],
};

/// An image's row with its layers.
#[derive(Debug, Clone)]
pub(crate) struct ImageRow {
    pub(crate) id: ImageId,
    pub(crate) parent: Option<ImageId>,
    pub(crate) last_tagged: Option<Timestamp>,
    pub(crate) hidden: bool,
    pub(crate) diff_ids: Vec<Digest>,
}

pub(crate) fn load_layers(connection: &Connection) -> Result<Loaded<Layer>, DbError> {
    load(connection, "SELECT diff_id, size, archive_size FROM layer", [], |row| {
        let diff_id = row.get::<_, String>(0)?.parse()?;
        let size = u64::try_from(row.get::<_, i64>(1)?)?;
        let archive_size = u64::try_from(row.get::<_, i64>(2)?)?;
        Ok(Layer { diff_id, size, archive_size })
    })
}

pub(crate) fn load_images(connection: &Connection) -> Result<Loaded<ImageRow>, DbError> {
    load(connection, "SELECT id, parent, last_tagged, hidden FROM image", [], |row| {
        let id: String = row.get(0)?;
        let diff_ids = load_diff_ids(connection, &id)?;
        Ok(ImageRow {
            id: id.parse()?,
            parent: row.get::<_, Option<String>>(1)?.map(|parent| parent.parse()).transpose()?,
            last_tagged: row.get::<_, Option<String>>(2)?.map(|time| time.parse()).transpose()?,
            hidden: row.get(3)?,
            diff_ids,
        })
    })
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn load_diff_ids(connection: &Connection, image: &str) -> Result<Vec<Digest>, AnyError> {
    let mut statement =
        connection.prepare_cached("SELECT layer FROM image_layer WHERE image = ?1 ORDER BY position")?;
    let rows = statement.query_map([image], |row: &Row<'_>| row.get::<_, String>(0))?;
    rows.map(|text| Ok(text?.parse()?)).collect()
}

pub(crate) fn load_names(connection: &Connection) -> Result<Loaded<(Reference, ImageId)>, DbError> {
    load(connection, "SELECT name, image FROM image_name", [], |row| {
        Ok((row.get::<_, String>(0)?.parse()?, row.get::<_, String>(1)?.parse()?))
    })
}

/// Writes an image with its layers, or writes it again: a row that a damaged store left is made whole.
pub(crate) fn put_image(tx: &Transaction<'_>, row: &ImageRow, layers: &[Layer]) -> Result<(), DbError> {
    for layer in layers {
        tx.prepare_cached(
            "INSERT INTO layer (diff_id, size, archive_size) VALUES (?1, ?2, ?3)
             ON CONFLICT (diff_id) DO UPDATE SET size = excluded.size, archive_size = excluded.archive_size",
        )?
        .execute(params![
            layer.diff_id.to_string(),
            stored(layer.size),
            stored(layer.archive_size)
        ])?;
    }
    let id = row.id.to_string();
    tx.execute(
        "INSERT INTO image (id, parent, last_tagged, hidden) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, hidden = excluded.hidden",
        params![
            id,
            row.parent.as_ref().map(ToString::to_string),
            row.last_tagged.map(|time| time.to_string()),
            row.hidden
        ],
    )?;
    tx.execute("DELETE FROM image_layer WHERE image = ?1", [&id])?;
    for (position, diff_id) in (0i64..).zip(&row.diff_ids) {
        tx.prepare_cached("INSERT INTO image_layer (image, position, layer) VALUES (?1, ?2, ?3)")?
            .execute(params![id, position, diff_id.to_string()])?;
    }
    Ok(())
}

/// SQLite's integers have a sign. A sparse file may claim more than that; the figure is only shown.
fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Points a name at an image, away from whichever had it.
pub(crate) fn put_name(
    tx: &Transaction<'_>,
    name: &Reference,
    image: &ImageId,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO image_name (name, image) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET image = excluded.image",
        params![name.to_string(), image.to_string()],
    )?;
    tx.execute(
        "UPDATE image SET last_tagged = ?2 WHERE id = ?1",
        params![image.to_string(), now.to_string()],
    )?;
    Ok(())
}

pub(crate) fn remove_name(tx: &Transaction<'_>, name: &Reference) -> Result<(), DbError> {
    tx.execute("DELETE FROM image_name WHERE name = ?1", [name.to_string()])?;
    Ok(())
}

/// Hides an image whose containers outlive it.
pub(crate) fn hide_image(tx: &Transaction<'_>, image: &ImageId) -> Result<(), DbError> {
    tx.execute("UPDATE image SET hidden = 1 WHERE id = ?1", [image.to_string()])?;
    tx.execute("DELETE FROM image_name WHERE image = ?1", [image.to_string()])?;
    Ok(())
}

pub(crate) fn remove_image(tx: &Transaction<'_>, image: &ImageId) -> Result<(), DbError> {
    tx.execute("DELETE FROM image WHERE id = ?1", [image.to_string()])?;
    Ok(())
}

/// Removes the rows of layers that no image has, except those that `pinned` names; returns which.
pub(crate) fn remove_unused_layers(
    tx: &Transaction<'_>,
    pinned: impl Fn(&Digest) -> bool,
) -> Result<Vec<Digest>, DbError> {
    let mut unused = Vec::new();
    {
        let mut statement = tx.prepare_cached(
            "SELECT diff_id FROM layer WHERE NOT EXISTS (SELECT 1 FROM image_layer WHERE layer = diff_id)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // A row that is no digest names no directory.
            if let Ok(diff_id) = row.get::<_, String>(0)?.parse::<Digest>()
                && !pinned(&diff_id)
            {
                unused.push(diff_id);
            }
        }
    }
    for diff_id in &unused {
        tx.execute("DELETE FROM layer WHERE diff_id = ?1", [diff_id.to_string()])?;
    }
    Ok(unused)
}
