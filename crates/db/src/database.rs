//! The handle that everyone clones.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};

use crate::DbError;
use crate::checkpoint::Checkpointer;
use crate::schema::{self, Component};
use crate::writer::{self, Durability, Job};

/// Idle read connections that are kept; more are opened when more read at once.
const READERS_KEPT: usize = 4;
/// Bytes of file and log that are kept free for a full disk: room for some fifty changes until the next checkpoint.
const RESERVE: u32 = 1024 * 1024;
/// Prepared statements that each connection keeps.
const STATEMENTS_KEPT: usize = 64;

/// `corten.db`. Clones share it; the last one to go closes the file.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// `None` only while dropping.
    jobs: Option<Sender<Job>>,
    readers: Mutex<Vec<Connection>>,
    threads: Vec<JoinHandle<()>>,
}

impl Database {
    /// Opens the file, creating it if it is absent.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        schema::claim(&connection, path)?;
        let for_checkpoints = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let (checkpointer, checkpoint_thread) =
            Checkpointer::spawn(for_checkpoints).map_err(DbError::Thread)?;
        // A full disk may have no room for it, and must not keep anybody from reading.
        if reserve(&connection).is_ok() {
            checkpointer.written();
        }
        let (jobs, queue) = mpsc::channel();
        let writer_thread = writer::spawn(connection, queue, checkpointer).map_err(DbError::Thread)?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            jobs: Some(jobs),
            readers: Mutex::default(),
            threads: vec![writer_thread, checkpoint_thread],
        })))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Brings a store's tables to the newest version, or refuses a file that a newer corten wrote.
    pub fn migrate(&self, component: Component) -> Result<(), DbError> {
        let path = self.0.path.clone();
        self.write_durable(move |tx| schema::migrate(tx, &component, &path))
    }

    /// Runs `work` in a transaction and waits for its outcome. The effect survives the death of the process.
    ///
    /// An error of `work` rolls back.
    pub fn write<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.wait(Durability::Process, work)
    }

    /// Like [`Self::write`]; the effect survives a power cut too. Costs an fsync.
    pub fn write_durable<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.wait(Durability::Power, work)
    }

    /// Like [`Self::write`] without waiting: `done` is called on the writer's thread and must only hand the outcome
    /// on (to a oneshot channel, for example). If `work` panics, `done` is dropped uncalled.
    ///
    /// Requests take effect in the order in which they were made.
    pub fn write_then<T, F>(&self, work: F, done: impl FnOnce(Result<T, DbError>) + Send + 'static)
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    {
        writer::submit(self.jobs(), Durability::Process, work, done);
    }

    /// Like [`Self::write_then`], durable as [`Self::write_durable`].
    pub fn write_durable_then<T, F>(&self, work: F, done: impl FnOnce(Result<T, DbError>) + Send + 'static)
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    {
        writer::submit(self.jobs(), Durability::Power, work, done);
    }

    /// Reads with a connection of the caller's own: sees every write that was answered, waits for no writer.
    pub fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<DbError>,
        F: FnOnce(&Connection) -> Result<T, E>,
    {
        let idle = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let outcome = work(&connection);
        let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_KEPT {
            readers.push(connection);
        }
        outcome
    }

    /// Gives back the memory of pages that the connections keep. Between a program's own pieces of heap they would keep
    /// the C library from giving those back.
    pub fn release_memory(&self) {
        let (answer, outcome) = mpsc::sync_channel(1);
        let run = Box::new(move |connection: &mut Connection| {
            shrink(connection);
            // The one who asked waits.
            let _ = answer.send(());
        });
        if self.jobs().send(Job { durability: Durability::Process, run }).is_ok() {
            // An error: the writer has ended, and its memory with it.
            let _ = outcome.recv();
        }
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(shrink);
    }

    fn wait<T, F>(&self, durability: Durability, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (answer, outcome) = mpsc::sync_channel(1);
        writer::submit(self.jobs(), durability, work, move |result| {
            // Nobody is left to hear it only if the caller's thread died.
            let _ = answer.send(result);
        });
        outcome.recv().unwrap_or(Err(DbError::Abandoned))
    }

    fn jobs(&self) -> &Sender<Job> {
        self.0.jobs.as_ref().expect("taken only in drop")
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Database").field(&self.0.path).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SQLite folds the log into the file when its last connection closes, which must be one that can write.
        self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // The last handle may be dropped by a callback on the writer's own thread; it ends by itself then.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// Makes room that a disk which becomes full cannot take, so that the end and the removal of what exists can be written
/// all the same: pages of the file that the next checkpoint makes and nothing uses, and frames of the log that are
/// written, since they do not fit into this connection's memory, and taken back.
fn reserve(connection: &Connection) -> rusqlite::Result<()> {
    let fill = format!("INSERT INTO reserve VALUES (zeroblob({RESERVE}));");
    let made = connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS reserve (filler BLOB);
         BEGIN; {fill} DELETE FROM reserve; COMMIT;
         PRAGMA cache_size=10;
         BEGIN; {fill} ROLLBACK;"
    ));
    // Also after an error: it is the writer's connection from now on.
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    connection.execute_batch("PRAGMA cache_size=-2000")?;
    made
}

fn shrink(connection: &Connection) {
    // What cannot be given back is kept: nothing depends on it.
    let _ = connection.execute_batch("PRAGMA shrink_memory");
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, DbError> {
    let open = |source| DbError::Open { path: path.to_owned(), source };
    // Each connection is used by one thread at a time, so SQLite's own mutexes would only cost.
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(open)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(open)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=NORMAL;
                 PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;",
            )
            .map_err(open)?;
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rusqlite::params;

    use super::*;
    use crate::load;

    const NOTES: Component = Component {
        name: "note",
        migrations: &[
            "CREATE TABLE note (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT",
            "ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 0",
        ],
    };

    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            use std::sync::atomic::{AtomicU32, Ordering};
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("corten-db-{}-{n}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("corten.db")
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn add(database: &Database, id: &'static str) -> Result<(), DbError> {
        database.write(move |tx| {
            tx.execute("INSERT INTO note (id, text) VALUES (?1, 'x')", params![id])?;
            Ok(())
        })
    }

    fn count(database: &Database) -> i64 {
        let result: Result<i64, DbError> = database
            .read(|connection| Ok(connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?));
        result.unwrap()
    }

    #[test]
    fn readers_see_answered_writes_and_a_reopened_file_keeps_them() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        add(&database, "a").unwrap();
        assert_eq!(count(&database), 1);
        let id = "b";
        database
            .write_durable(move |tx| {
                tx.execute("INSERT INTO note (id, text) VALUES (?1, 'y')", [id])?;
                Ok(())
            })
            .unwrap();
        drop(database);
        assert!(!dir.0.join("corten.db-wal").exists(), "closing folds the log into the file");

        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        assert_eq!(count(&database), 2);
    }

    #[test]
    fn what_was_kept_in_memory_can_go_at_any_time() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        add(&database, "a").unwrap();
        assert_eq!(count(&database), 1);
        database.release_memory();
        add(&database, "b").unwrap();
        assert_eq!(count(&database), 2);
    }

    #[test]
    fn a_failed_request_rolls_back_and_a_panicking_one_harms_nobody() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        let failed: Result<(), DbError> = database.write(|tx| {
            tx.execute("INSERT INTO note (id, text) VALUES ('a', 'x')", [])?;
            tx.execute("INSERT INTO nowhere VALUES (1)", [])?;
            Ok(())
        });
        assert!(matches!(failed, Err(DbError::Sql(_))));
        let panicked: Result<(), DbError> = database.write(|tx| {
            tx.execute("INSERT INTO note (id, text) VALUES ('b', 'x')", [])?;
            panic!("on purpose");
        });
        assert!(matches!(panicked, Err(DbError::Abandoned)));
        assert_eq!(count(&database), 0);
        add(&database, "c").unwrap();
        assert_eq!(count(&database), 1);
    }

    #[test]
    fn callbacks_come_in_the_order_of_the_requests() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        let (tell, told) = mpsc::channel();
        for n in 0..100 {
            let tell = tell.clone();
            let work = move |tx: &Transaction<'_>| {
                tx.execute("INSERT INTO note (id, text) VALUES (?1, 'x')", [n.to_string()])?;
                Ok(n)
            };
            let done = move |result: Result<i32, DbError>| tell.send(result.unwrap()).unwrap();
            if n % 10 == 0 {
                database.write_durable_then(work, done)
            } else {
                database.write_then(work, done)
            }
        }
        assert_eq!(told.iter().take(100).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        assert_eq!(count(&database), 100);
    }

    #[test]
    fn an_older_program_refuses_a_newer_file() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        drop(database);
        let older = Component { name: NOTES.name, migrations: &NOTES.migrations[..1] };
        let database = Database::open(&dir.file()).unwrap();
        let error = database.migrate(older).unwrap_err().to_string();
        assert!(error.contains("newer version of corten") && error.contains("version 2"), "{error}");
    }

    #[test]
    fn tables_of_an_older_version_are_brought_forward_with_their_rows() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(Component { name: NOTES.name, migrations: &NOTES.migrations[..1] }).unwrap();
        add(&database, "a").unwrap();
        database.migrate(NOTES).unwrap();
        let stars: Result<i64, DbError> =
            database.read(|c| Ok(c.query_row("SELECT stars FROM note WHERE id = 'a'", [], |r| r.get(0))?));
        assert_eq!(stars.unwrap(), 0);
    }

    #[test]
    fn files_of_others_are_refused() {
        let dir = Dir::new();
        let other = Connection::open(dir.file()).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(other);
        assert!(matches!(Database::open(&dir.file()), Err(DbError::Foreign { .. })));
        drop(dir);
        let dir = Dir::new();
        let mut junk = std::fs::File::create(dir.file()).unwrap();
        std::io::Write::write_all(&mut junk, &[b'x'; 5000]).unwrap();
        assert!(matches!(Database::open(&dir.file()), Err(DbError::Open { .. })));
    }

    #[test]
    fn an_unreadable_row_costs_only_itself() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        for id in ["1", "two", "3"] {
            add(&database, id).unwrap();
        }
        let loaded = database
            .read(|connection| {
                load(connection, "SELECT id FROM note ORDER BY id", [], |row| {
                    Ok(row.get::<_, String>(0)?.parse::<i32>()?)
                })
            })
            .unwrap_or_else(|error: DbError| panic!("{error}"));
        assert_eq!(loaded.rows, [1, 3]);
        assert_eq!(loaded.unreadable.len(), 1);
        assert_eq!(loaded.unreadable[0].key, "two");
    }

    #[test]
    fn the_log_has_room_from_the_start() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        let log = || std::fs::metadata(dir.0.join("corten.db-wal")).unwrap().len();
        let before = log();
        assert!(before > 2 * u64::from(RESERVE), "{before}");
        (0..20).for_each(|n| add(&database, ["a", "b", "c", "d"][n % 4]).unwrap_or(()));
        assert_eq!(log(), before, "writes go where there is room already");
    }

    #[test]
    fn a_reserve_that_cannot_be_made_leaves_the_connection_as_it_was() {
        let dir = Dir::new();
        let open = || connect(&dir.file(), OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE);
        let (connection, other) = (open().unwrap(), open().unwrap());
        reserve(&connection).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(reserve(&connection).is_err());
        assert!(connection.is_autocommit(), "no transaction is left open");
        other.execute_batch("ROLLBACK").unwrap();
        reserve(&connection).unwrap();
        let pages: i64 = connection.query_row("PRAGMA cache_size", [], |row| row.get(0)).unwrap();
        assert_eq!(pages, -2000);
    }

    #[test]
    fn the_log_is_folded_in_the_background() {
        let dir = Dir::new();
        let database = Database::open(&dir.file()).unwrap();
        database.migrate(NOTES).unwrap();
        add(&database, "a").unwrap();
        let main_file = || std::fs::metadata(dir.file()).unwrap().len();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        // An empty file has one page; the tables need more, and they are only in the log until the checkpoint.
        while main_file() <= 4096 {
            assert!(std::time::Instant::now() < deadline, "no checkpoint came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
