//! Listening sockets, one task per connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::http::connection;
use crate::http::socket::Socket;
use crate::routes::Api;

/// How long requests under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// On this machine.
    Unix(UnixListener),
    /// From anywhere.
    Tcp(TcpListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole; waiting for more only delays them. A client whose machine is gone says
                // nothing, and its streams would stay for ever. Neither works on one that has left already.
                let _ = stream.set_nodelay(true);
                let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
                Ok(Socket::Tcp(stream))
            }
        }
    }
}

/// Serves the API on any number of sockets.
#[derive(Debug, Clone)]
pub struct Server {
    api: Api,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// A server of `app`.
    pub fn new(app: Arc<App>) -> Self {
        Self { api: Api::new(app), connections: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Accepts clients until [`Server::stop`].
    pub async fn serve(&self, listener: Listener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok(socket) => {
                    let api = self.api.clone();
                    self.connections.spawn(connection::serve(socket, api, self.stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    // Out of descriptors: whoever holds them needs time to give some back.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Stops: no new clients, streams end, requests under way get a moment.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(GRACE, self.connections.wait()).await.is_err() {
            tracing::warn!(requests = self.connections.len(), "requests cut short by the stop");
        }
    }
}
