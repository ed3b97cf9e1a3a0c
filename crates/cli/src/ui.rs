//! The terminal, or whatever the output goes to: data on standard output, talk on standard error.

use std::io::{self, BufWriter, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

use crate::flags::help::DEFAULT_WIDTH;

/// Where a command prints.
pub(crate) struct Ui {
    out: BufWriter<Box<dyn Write>>,
    err: Box<dyn Write>,
}

/// Rows and columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows.
    pub(crate) rows: u16,
    /// Columns.
    pub(crate) columns: u16,
}

impl Ui {
    /// The process's own streams.
    pub(crate) fn stdio() -> Self {
        Self { out: BufWriter::new(Box::new(io::stdout())), err: Box::new(io::stderr()) }
    }

    /// Standard output, buffered until [`Self::flush`].
    pub(crate) fn stdout(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Standard error. Flushes standard output first, so that lines come in the order they were written.
    pub(crate) fn stderr(&mut self) -> &mut impl Write {
        let _ = self.out.flush();
        &mut self.err
    }

    /// Hands on what is buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// One line of talk. Nobody to talk to is no failure.
    pub(crate) fn tell(&mut self, line: &str) {
        let _ = writeln!(self.stderr(), "{line}");
    }
}

/// Standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Size of the terminal on standard output; zero when it is none.
pub(crate) fn terminal_size() -> Size {
    match tcgetwinsize(io::stdout()) {
        Ok(size) => Size { rows: size.ws_row, columns: size.ws_col },
        Err(_) => Size::default(),
    }
}

/// Columns for text that is to be wrapped.
pub(crate) fn text_width() -> usize {
    match terminal_size().columns {
        0 => DEFAULT_WIDTH,
        columns => usize::from(columns),
    }
}
