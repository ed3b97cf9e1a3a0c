//! What can go wrong between a client and an engine.

use std::io;

/// A failed request. The texts are the ones that users and scripts know from Docker's client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The engine refused.
    #[error("Error response from daemon: {message}")]
    Api {
        /// HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// Nobody answers.
    #[error("Cannot connect to the Docker daemon at {endpoint}. Is the docker daemon running?")]
    Connect {
        /// Where.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers, and no engine could be started.
    #[error("{0}")]
    NotStarted(String),
    /// The socket is not ours to use.
    #[error(
        "permission denied while trying to connect to the Docker daemon socket at {endpoint}: connect: permission \
         denied\n{remedy}"
    )]
    Permission {
        /// Where.
        endpoint: String,
        /// What to do about it.
        remedy: String,
        /// Why.
        source: io::Error,
    },
    /// A host name that is in no hosts file.
    #[error("error during connect: {endpoint}: no such host: {host}")]
    NoSuchHost {
        /// Where.
        endpoint: String,
        /// The name.
        host: String,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("error during connect: {request}: {source}")]
    Transport {
        /// Method and path.
        request: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what the API says it is.
    #[error("Error reading remote info: {request}: {source}")]
    Decode {
        /// Method and path.
        request: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Local input or output failed during the request.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine reported a failure inside a progress stream.
    #[error("{message}")]
    Stream {
        /// The engine's words.
        message: String,
        /// Exit code, of a build step.
        code: i32,
    },
}

impl ClientError {
    /// HTTP status of the engine's refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The engine says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// No engine was reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Permission { .. } | Self::NoSuchHost { .. } | Self::NotStarted(_)
        )
    }
}
