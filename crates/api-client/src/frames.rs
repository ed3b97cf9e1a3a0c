//! The frames in which output and errors share one stream: `[stream, 0, 0, 0, length (4, big endian)]`, then bytes.

use std::io::{self, Read, Write};

/// Length of a frame's head.
const HEAD: usize = 8;

/// Copies a multiplexed stream apart, to the end of `source`. Bytes of a stream without a writer are dropped.
///
/// A frame of stream 3 carries an error of the engine and ends the copy with it.
pub fn demultiplex(
    mut source: impl Read,
    mut stdout: Option<impl Write>,
    mut stderr: Option<impl Write>,
) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let mut head = [0; HEAD];
        if !read_head(&mut source, &mut head)? {
            return Ok(());
        }
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match head[0] {
            // Docker counts stdin's frames to standard output.
            0 | 1 => copy(&mut source, stdout.as_mut(), length, &mut buffer)?,
            2 => copy(&mut source, stderr.as_mut(), length, &mut buffer)?,
            3 => {
                let mut message = Vec::new();
                copy(&mut source, Some(&mut message), length, &mut buffer)?;
                let message = String::from_utf8_lossy(&message).into_owned();
                return Err(io::Error::other(format!("error from daemon in stream: {message}")));
            }
            other => {
                let message = format!("Unrecognized input header: {other}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
}

/// False at the end of the stream, also in the middle of a head, as Docker's copy has it.
fn read_head(source: &mut impl Read, head: &mut [u8; HEAD]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < HEAD {
        match source.read(&mut head[filled..]) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn copy(
    source: &mut impl Read,
    mut target: Option<&mut impl Write>,
    mut length: usize,
    buffer: &mut [u8],
) -> io::Result<()> {
    while length > 0 {
        let want = length.min(buffer.len());
        let count = match source.read(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(target) = target.as_mut() {
            target.write_all(&buffer[..count])?;
        }
        length -= count;
    }
    if let Some(target) = target {
        target.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], bytes].concat()
    }

    #[test]
    fn streams_come_apart_also_in_pieces_of_one_byte() {
        struct OneByOne<'a>(&'a [u8]);
        impl Read for OneByOne<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(&mut buffer[..1])
            }
        }
        let input = [frame(1, b"out"), frame(2, b"err"), frame(1, b""), frame(0, b"put")].concat();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        demultiplex(OneByOne(&input), Some(&mut out), Some(&mut err)).unwrap();
        assert_eq!((&out[..], &err[..]), (&b"output"[..], &b"err"[..]));
    }

    #[test]
    fn a_stream_without_a_writer_is_dropped() {
        let input = [frame(2, &[7; 70_000]), frame(1, b"x")].concat();
        let mut out = Vec::new();
        demultiplex(&input[..], Some(&mut out), None::<&mut Vec<u8>>).unwrap();
        assert_eq!(out, b"x");
    }

    #[test]
    fn an_error_frame_and_garbage_are_errors() {
        let run =
            |input: &[u8]| demultiplex(input, None::<Vec<u8>>, None::<Vec<u8>>).unwrap_err().to_string();
        assert_eq!(run(&frame(3, b"gone")), "error from daemon in stream: gone");
        assert_eq!(run(&frame(9, b"")), "Unrecognized input header: 9");
    }
}
