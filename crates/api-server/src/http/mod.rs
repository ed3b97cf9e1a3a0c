//! HTTP/1 as Docker's clients speak it, down to the socket.
//!
//! A library server gives the socket away only after `101` on HTTP/1.1. Docker's clients also expect that of a plain
//! `200`, send standard input in the same packet as the request, speak HTTP/1.0 and close one half of the connection.
//! So the connection is ours, while requests and responses are those of crate `http`, and the router is a library's.
//!
//! **Invariant:** bytes that a client sent after a request's end are never lost: they are the next request, or the
//! early input of a stream that is handed over.
//!
//! - `connection`: the loop of one connection
//! - `head`: request heads
//! - `body`: request bodies, read from the socket when they are asked for
//! - `response`: responses
//! - `socket`: unix and TCP sockets behind one face
//! - `hijack`: responses after which the socket belongs to somebody else
//!
//! Knows nothing of Docker's paths and versions.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod head;
pub(crate) mod hijack;
pub(crate) mod response;
pub(crate) mod socket;
