//! Bodies that are read from files or standard input while they are sent.

use std::io::{self, Read};

use api_client::transport::RequestBody;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use tokio::sync::mpsc;

/// Bytes in one piece.
const PIECE: usize = 256 * 1024;
/// Pieces that may wait to be sent.
const AHEAD: usize = 4;

/// A body of what `source` yields. A thread reads it, so that an answer is seen while a pipe is still empty.
pub(crate) fn body(mut source: impl Read + Send + 'static) -> RequestBody {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = match source.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => {
                    piece.truncate(count);
                    Ok(Bytes::from(piece))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            // Nobody takes pieces any more once the engine has answered.
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    let frames = stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    StreamBody::new(Box::pin(frames)).boxed_unsync()
}
