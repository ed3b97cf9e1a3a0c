//! Typed client of the Engine API.
//!
//! One [`Client`] speaks to one [`Endpoint`]. It keeps the last idle connection and uses it again, so a command that
//! makes several requests connects once. It does not ask for the engine's version first: it sends the newest version
//! that it speaks, and when the engine answers that this is too new it takes the engine's own and sends the request
//! again. Only uploads, which cannot be sent twice, are preceded by a ping.
//!
//! - [`endpoint`]: where the engine listens
//! - [`error`]: what can go wrong, in the words that Docker's users know
//! - [`query`]: query strings and filters
//! - [`transport`]: connections, requests, answers
//! - [`hijack`]: raw two-way streams (attach, exec)
//! - [`frames`]: the frames in which output and errors share one stream
//! - [`documents`]: streams of JSON
//! - [`containers`], [`exec`], [`files`], [`images`], [`system`]: the calls
//!
//! Knows nothing of terminals, flags or output formats.
#![forbid(unsafe_code)]

pub mod containers;
pub mod documents;
pub mod endpoint;
pub mod error;
pub mod exec;
pub mod files;
pub mod frames;
pub mod hijack;
pub mod images;
pub mod query;
mod space;
pub mod system;
pub mod transport;

pub use endpoint::Endpoint;
pub use error::ClientError;
pub use query::{Filters, Query};
pub use transport::{Client, Settings};
