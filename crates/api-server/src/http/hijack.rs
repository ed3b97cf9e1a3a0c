//! Responses after which the socket belongs to somebody else.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// The client's raw stream.
#[derive(Debug)]
pub(crate) struct RawStream {
    /// Its socket, non-blocking.
    pub(crate) socket: OwnedFd,
    /// What it sent after the request's end and we have read.
    pub(crate) early_input: Vec<u8>,
}

type Taker = Box<dyn FnOnce(RawStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Extension of a response: write its head, without `Date` or length, then hand the stream over.
///
/// Clonable because extensions of a response are; only the first [`Hijack::take`] gets the taker.
#[derive(Clone)]
pub(crate) struct Hijack {
    taker: Arc<Mutex<Option<Taker>>>,
    /// Hold the stream back until the client has read the head.
    ///
    /// docker-py reads the head through a buffer and then the raw socket below it; what arrives together with the head
    /// is lost to it.
    pub(crate) after_head_is_read: bool,
}

impl Hijack {
    /// `taker` gets the stream once the head is written.
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        after_head_is_read: bool,
        taker: impl FnOnce(RawStream) -> F + Send + 'static,
    ) -> Self {
        let taker: Taker = Box::new(|stream| Box::pin(taker(stream)));
        Self { taker: Arc::new(Mutex::new(Some(taker))), after_head_is_read }
    }

    /// Who gets the stream.
    pub(crate) fn take(&self) -> Option<Taker> {
        self.taker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Extension of a response: write its head as it is, then its body, then close.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bare;

/// Extension of a response: send its head together with the body's first bytes, not before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadWithBody;
