//! The two output streams of a process, and Docker's framing of them.

/// An output stream; a terminal's output counts as standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    /// As in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Docker's 8-byte header of a frame with `length` bytes.
    pub(super) fn header(self, length: usize) -> [u8; 8] {
        let number = match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        };
        let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        [number, 0, 0, 0, a, b, c, d]
    }
}
