//! Docker's Engine API, 1.24 to 1.51, over HTTP: handlers translate, nothing more.
//!
//! **Invariant:** an answer's status, headers, text and shape are Docker's, in every version of the API.
//!
//! - [`server`]: listening sockets, one task per connection
//! - `http`: HTTP/1 down to the socket, and handing the socket over
//! - `version`, `routes`, `call`, `query`, `json`, `error`: from a request to a handler and back
//! - `handlers`: one file per group of endpoints
//! - `info`, `host`: the document of `GET /info` and the facts in it
//! - `fetch`, `pattern`: a client for imports by URL; Go's name patterns
//!
//! Knows nothing of how a container works: it asks crate `engine`.

#![forbid(unsafe_code)]

mod app;
mod call;
mod error;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod host;
mod http;
mod info;
mod json;
mod pattern;
mod query;
mod routes;
pub mod server;
mod version;

pub use app::{App, DaemonFacts, Reloadable};
pub use routes::endpoints;
pub use server::{Listener, Server};

/// The engine's version as clients see it: the Docker release whose API and behaviour this is, and our own.
///
/// Clients compare the first part with the oldest Docker they work with.
pub const VERSION: &str = concat!("28.5.2+corten.", env!("CARGO_PKG_VERSION"));

/// The `Server` header.
const SERVER: &str = concat!("Docker/28.5.2+corten.", env!("CARGO_PKG_VERSION"), " (linux)");
