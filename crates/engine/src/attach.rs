//! Attaching with `logs=1`: what the container has said so far, before what it says next.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::container::Container;
use crate::error::Result;
use crate::logs;
use crate::params::{AttachParams, ClientStream, LogStream, LogsQuery};
use crate::shared::Shared;

/// Writes the log to the client, framed as the stream is, and gives the stream back.
pub(crate) async fn replay(
    shared: &Shared,
    container: &Arc<Container>,
    params: &AttachParams,
    client: ClientStream,
) -> Result<ClientStream> {
    let query = LogsQuery { stdout: params.stdout, stderr: params.stderr, ..LogsQuery::default() };
    let raw = container.record().config.tty;
    let mut entries = logs::read(shared, container, query)?;
    let ClientStream { mut socket, early_input } = client;
    while let Some(entry) = entries.recv().await {
        let bytes = if raw { entry.line } else { frame(entry.stream, &entry.line) };
        let written = tokio::task::spawn_blocking(move || {
            let outcome = write_all(&socket, &bytes);
            (socket, outcome)
        })
        .await;
        let Ok((back, outcome)) = written else {
            return Err(crate::EngineError::system("cannot replay the log", "the writer failed"));
        };
        socket = back;
        if outcome.is_err() {
            // The client has gone; whoever gets the stream next will notice.
            break;
        }
    }
    Ok(ClientStream { socket, early_input })
}

/// Docker's frame: stream number, three zeros, big-endian length.
pub(crate) fn frame(stream: LogStream, bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![if stream == LogStream::Stderr { 2 } else { 1 }, 0, 0, 0];
    framed.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend(bytes);
    framed
}

/// Writes everything, waiting for a socket that does not block; a client that takes nothing for 10 s has gone.
fn write_all(socket: &OwnedFd, mut bytes: &[u8]) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    while !bytes.is_empty() {
        match rustix::io::write(socket, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::AGAIN) => {
                let mut fds = [PollFd::new(socket, PollFlags::OUT)];
                if poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 }))? == 0 {
                    return Err(std::io::ErrorKind::TimedOut.into());
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
