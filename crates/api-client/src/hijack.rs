//! Raw two-way streams: the connection itself after the engine has answered `101 UPGRADED`.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use bytes::{Buf, Bytes};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use crate::error::ClientError;
use crate::transport::{Answer, Client, Request, transport_error};

/// A hijacked connection, in blocking mode: copying belongs into threads, where a slow reader of the output holds up
/// nothing else.
#[derive(Debug)]
pub struct Hijacked {
    /// The half that brings the output.
    pub reader: HijackReader,
    /// The half that takes the input.
    pub writer: HijackWriter,
    /// The output is in frames, see [`crate::frames`]; else it is raw.
    pub multiplexed: bool,
}

/// Output of a hijacked connection.
#[derive(Debug)]
pub struct HijackReader {
    /// What came together with the answer's head.
    early: Bytes,
    socket: Socket,
}

/// Input of a hijacked connection.
#[derive(Debug)]
pub struct HijackWriter(Socket);

#[derive(Debug)]
enum Socket {
    Unix(std::os::unix::net::UnixStream),
    Tcp(std::net::TcpStream),
}

impl Client {
    /// Sends a request that asks for a raw stream.
    pub(crate) async fn hijack(&self, mut request: Request) -> Result<Hijacked, ClientError> {
        request.upgrade = true;
        let what = format!("{} {}", request.method, request.path);
        let answer = self.send(request).await?;
        hijacked(answer, what).await
    }
}

async fn hijacked(answer: Answer, what: String) -> Result<Hijacked, ClientError> {
    let content_type = answer.response.headers().get(http::header::CONTENT_TYPE);
    let multiplexed = content_type.is_some_and(|value| value.as_bytes().ends_with(b"multiplexed-stream"));
    let upgraded = hyper::upgrade::on(answer.response).await;
    let upgraded = upgraded.map_err(|source| transport_error(what, source))?;
    let (early, socket) = match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => (parts.read_buf, Socket::Unix(parts.io.into_inner().into_std()?)),
        Err(upgraded) => {
            let parts = upgraded
                .downcast::<TokioIo<TcpStream>>()
                .map_err(|_| io::Error::other("the connection is neither a unix socket nor TCP"))?;
            (parts.read_buf, Socket::Tcp(parts.io.into_inner().into_std()?))
        }
    };
    let writer = match &socket {
        Socket::Unix(stream) => {
            stream.set_nonblocking(false)?;
            Socket::Unix(stream.try_clone()?)
        }
        Socket::Tcp(stream) => {
            stream.set_nonblocking(false)?;
            Socket::Tcp(stream.try_clone()?)
        }
    };
    Ok(Hijacked { reader: HijackReader { early, socket }, writer: HijackWriter(writer), multiplexed })
}

impl Read for HijackReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.early.has_remaining() {
            let count = buffer.len().min(self.early.remaining());
            self.early.copy_to_slice(&mut buffer[..count]);
            return Ok(count);
        }
        match &mut self.socket {
            Socket::Unix(stream) => stream.read(buffer),
            Socket::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl HijackWriter {
    /// Tells the engine that no more input comes; the output goes on.
    pub fn close(&self) -> io::Result<()> {
        match &self.0 {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// One more handle on the connection, to end it with [`Self::hang_up`] while others copy.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(match &self.0 {
            Socket::Unix(stream) => Socket::Unix(stream.try_clone()?),
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone()?),
        }))
    }

    /// Ends the connection in both directions; a reader sees its end.
    pub fn hang_up(&self) -> io::Result<()> {
        match &self.0 {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
        }
    }
}

impl Write for HijackWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Socket::Unix(stream) => stream.write(buffer),
            Socket::Tcp(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
