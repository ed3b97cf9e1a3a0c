//! Progress streams of the engine: one JSON object after another, shown as lines or, on a terminal, as bars.

use std::collections::HashMap;
use std::io::{self, Write};

use api_client::ClientError;
use api_client::transport::BodyStream;
use api_types::system::{Progress, ProgressDetail};

use crate::units;

/// Columns from which on a bar is drawn.
const BAR_FROM: u16 = 110;
/// Length of a bar.
const BAR: usize = 50;

/// Where progress is shown.
pub(crate) struct Screen<'a, W: Write> {
    out: &'a mut W,
    /// Columns of the terminal; none when it is none.
    columns: Option<u16>,
    /// Line of each object that makes progress, counted from the first.
    lines: HashMap<String, usize>,
}

impl<'a, W: Write> Screen<'a, W> {
    /// A screen on `out`.
    pub(crate) fn new(out: &'a mut W, columns: Option<u16>) -> Self {
        Self { out, columns, lines: HashMap::new() }
    }

    /// Shows a whole stream. A failure that the stream reports is the error.
    pub(crate) async fn show(&mut self, stream: BodyStream) -> Result<(), ClientError> {
        let mut reader = Reader::new(stream);
        while let Some(message) = reader.next().await? {
            if let Some(error) = message.error_detail {
                self.out.flush()?;
                return Err(ClientError::Stream { message: error.message, code: error.code });
            }
            if !message.error.is_empty() {
                self.out.flush()?;
                return Err(ClientError::Stream { message: message.error, code: 0 });
            }
            self.message(&message)?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn message(&mut self, message: &Progress) -> io::Result<()> {
        let makes_progress =
            !message.id.is_empty() && (message.progress_detail.is_some() || !message.progress.is_empty());
        if !makes_progress {
            self.lines.clear();
            return self.line(message);
        }
        let terminal = self.columns.is_some();
        let next = self.lines.len();
        let line = *self.lines.entry(message.id.clone()).or_insert(next);
        if line == next && terminal {
            writeln!(self.out)?;
        }
        let up = self.lines.len() - line;
        if terminal {
            write!(self.out, "\x1b[{up}A")?;
        }
        self.line(message)?;
        if terminal {
            write!(self.out, "\x1b[{up}B")?;
        }
        Ok(())
    }

    fn line(&mut self, message: &Progress) -> io::Result<()> {
        let detail = message.progress_detail.as_ref();
        let bar = detail.map(|detail| bar(detail, self.columns.unwrap_or(200))).unwrap_or_default();
        let mut end = "";
        if self.columns.is_some() && message.stream.is_empty() && detail.is_some() {
            write!(self.out, "\x1b[2K\r")?;
            end = "\r";
        } else if !bar.is_empty() {
            // Without a terminal only what is final is worth a line.
            return Ok(());
        }
        if !message.id.is_empty() {
            write!(self.out, "{}: ", message.id)?;
        }
        match (&message.stream, detail, self.columns) {
            (_, Some(_), Some(_)) => write!(self.out, "{} {bar}{end}", message.status),
            (stream, _, _) if !stream.is_empty() => write!(self.out, "{stream}{end}"),
            _ if !message.progress.is_empty() => {
                write!(self.out, "{} {}{end}", message.status, message.progress)
            }
            _ => writeln!(self.out, "{}{end}", message.status),
        }
    }
}

/// `[=====>   ]  1.2MB/3.4MB`.
fn bar(detail: &ProgressDetail, columns: u16) -> String {
    let size = |bytes: i64| units::decimal_size(bytes, 4);
    match (detail.current, detail.total) {
        (current, total) if current <= 0 && total <= 0 => String::new(),
        (current, total) if total <= 0 => format!("{:>8}", size(current)),
        (current, total) => {
            let share = i128::from(current) * 100 / i128::from(total) / 2;
            let done = usize::try_from(share).unwrap_or(0).min(BAR);
            let drawn = match columns > BAR_FROM {
                true => format!("[{}>{}] ", "=".repeat(done), " ".repeat(BAR - done)),
                false => String::new(),
            };
            match current > total {
                true => format!("{drawn}{:>8}", size(current)),
                false => format!("{drawn}{:>8}/{}", size(current), size(total)),
            }
        }
    }
}

/// Reads the objects of a stream, wherever its pieces end.
struct Reader {
    stream: BodyStream,
    buffer: Vec<u8>,
}

impl Reader {
    fn new(stream: BodyStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    async fn next(&mut self) -> Result<Option<Progress>, ClientError> {
        loop {
            if let Some(message) = take(&mut self.buffer)? {
                return Ok(Some(message));
            }
            match self.stream.next().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.iter().all(u8::is_ascii_whitespace) => return Ok(None),
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            }
        }
    }
}

/// Takes the first whole object out of `buffer`.
fn take(buffer: &mut Vec<u8>) -> io::Result<Option<Progress>> {
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<serde_json::Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) if error.is_eof() => return Ok(None),
        Some(Err(error)) => return Err(error.into()),
        None => return Ok(None),
    };
    let taken = values.byte_offset();
    buffer.drain(..taken);
    let mut value = value;
    api_types::strip_nulls(&mut value);
    // What is no progress (`aux`) reads as an empty message, which shows nothing but a line.
    Ok(Some(serde_json::from_value(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(columns: Option<u16>, messages: &[&str]) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, columns);
        for text in messages {
            let message: Progress = serde_json::from_str(text).unwrap();
            screen.message(&message).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    const PULL: [&str; 4] = [
        r#"{"status":"Pulling from library/x","id":"latest"}"#,
        r#"{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}"#,
        r#"{"status":"Downloading","progressDetail":{"current":500000,"total":1000000},"id":"aa"}"#,
        r#"{"status":"Status: Downloaded"}"#,
    ];

    #[test]
    fn without_a_terminal_only_final_lines_are_shown() {
        let want = "latest: Pulling from library/x\naa: Pulling fs layer\nStatus: Downloaded\n";
        assert_eq!(show(None, &PULL), want);
    }

    #[test]
    fn on_a_terminal_lines_are_redrawn() {
        let half = format!("[{}>{}]    500kB/1MB", "=".repeat(25), " ".repeat(25));
        let want = format!(
            "latest: Pulling from library/x\n\
             \n\x1b[1A\x1b[2K\raa: Pulling fs layer \r\x1b[1B\
             \x1b[1A\x1b[2K\raa: Downloading {half}\r\x1b[1B\
             Status: Downloaded\n"
        );
        assert_eq!(show(Some(200), &PULL), want);
    }

    #[test]
    fn narrow_terminals_get_numbers_alone() {
        let detail = ProgressDetail { current: 1_500_000, total: 0 };
        assert_eq!(bar(&detail, 80), "   1.5MB");
        let detail = ProgressDetail { current: 1_500_000, total: 3_000_000 };
        assert_eq!(bar(&detail, 80), "   1.5MB/3MB");
    }

    #[test]
    fn objects_are_read_wherever_pieces_end() {
        let mut buffer = b"{\"stream\":\"a\"}\r\n{\"str".to_vec();
        assert_eq!(take(&mut buffer).unwrap().unwrap().stream, "a");
        assert!(take(&mut buffer).unwrap().is_none());
        buffer.extend_from_slice(b"eam\":\"b\"}");
        assert_eq!(take(&mut buffer).unwrap().unwrap().stream, "b");
        assert!(take(&mut buffer).unwrap().is_none());
    }
}
