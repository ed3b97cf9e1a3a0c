//! Raw mode of the terminal on standard input.

use std::io;

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal is raw while this lives, and as it was before afterwards.
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Makes the terminal raw; none when standard input is no terminal.
    ///
    /// In the background the kernel stops the process here (SIGTTOU) until it is brought to the foreground.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        let Ok(before) = tcgetattr(stdin()) else { return Ok(None) };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing put back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
