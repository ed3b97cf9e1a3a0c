//! The writer thread: takes closures from a queue and runs each in a transaction of its own.

use std::sync::mpsc::{Receiver, Sender};
use std::{io, thread};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::DbError;
use crate::checkpoint::Checkpointer;

/// What a transaction must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of this process.
    Process,
    /// A power cut: the log is synced before the answer.
    Power,
}

/// One request to the writer.
pub(crate) struct Job {
    pub(crate) durability: Durability,
    pub(crate) run: Box<dyn FnOnce(&mut Connection) + Send>,
}

/// Starts the thread; it ends when the last sender is gone.
pub(crate) fn spawn(
    mut connection: Connection,
    jobs: Receiver<Job>,
    checkpointer: Checkpointer,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("db-writer".to_owned()).spawn(move || {
        let mut current = Durability::Process;
        for job in jobs {
            if job.durability != current && set_durability(&connection, job.durability).is_ok() {
                current = job.durability;
            }
            (job.run)(&mut connection);
            checkpointer.written();
        }
        // Closing the last connection moves the rest of the log into the file.
        checkpointer.stop();
    })
}

fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    // SQLite ignores the pragma inside a transaction, which is why it is set between them.
    let sql = match durability {
        Durability::Process => "PRAGMA synchronous=NORMAL",
        Durability::Power => "PRAGMA synchronous=FULL",
    };
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Queues a transaction; `done` is called on the writer thread with its outcome.
pub(crate) fn submit<T: Send + 'static>(
    jobs: &Sender<Job>,
    durability: Durability,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    done: impl FnOnce(Result<T, DbError>) + Send + 'static,
) {
    let run = Box::new(move |connection: &mut Connection| {
        // A panic in one request must not end the thread for all others. The transaction rolls back as it unwinds
        // and `done` goes unanswered, which its owner sees as a closed channel.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| transact(connection, work)));
        if let Ok(outcome) = outcome {
            if matches!(&outcome, Err(error) if error.is_disk_full()) {
                // The log starts over in the place that it has; whoever tries again may find room.
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            }
            done(outcome);
        }
    });
    // The receiver lives as long as the thread, and the thread as long as this sender.
    let _ = jobs.send(Job { durability, run });
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&tx)?;
    tx.commit()?;
    Ok(value)
}
