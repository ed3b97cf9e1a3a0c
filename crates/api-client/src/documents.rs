//! JSON documents of a stream, one on each line.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::error::ClientError;
use crate::transport::BodyStream;

/// Longest line: an event has all labels of its container.
const MAX_LINE: usize = 8 << 20;

/// A stream of documents.
#[derive(Debug)]
pub struct Documents<T> {
    stream: BodyStream,
    buffer: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Documents<T> {
    /// Those of a stream.
    pub fn new(stream: BodyStream) -> Self {
        Self { stream, buffer: Vec::new(), of: PhantomData }
    }

    /// The next one; none at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return self.decode(&line).map(Some);
                }
                continue;
            }
            match self.stream.next().await? {
                Some(bytes) if self.buffer.len() + bytes.len() <= MAX_LINE => {
                    self.buffer.extend_from_slice(&bytes);
                }
                Some(_) => return self.decode(b"a line without an end").map(Some),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let rest = std::mem::take(&mut self.buffer);
                    return self.decode(&rest).map(Some);
                }
            }
        }
    }

    fn decode(&self, line: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(line)
            .map_err(|source| ClientError::Decode { request: self.stream.request().to_owned(), source })
    }
}
