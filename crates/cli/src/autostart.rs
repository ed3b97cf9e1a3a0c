//! Starting an engine where none runs.

use std::io;

use crate::context::DEFAULT_SOCKET;

/// Starts the engine at the default socket.
pub(crate) fn start(_why: &io::Error) -> Result<(), String> {
    Err(format!(
        "Cannot connect to the Docker daemon at unix://{DEFAULT_SOCKET}. Is the docker daemon running?"
    ))
}
