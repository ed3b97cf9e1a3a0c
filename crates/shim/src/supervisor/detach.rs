//! Detach keys: the byte sequence that lets go of a terminal.

/// Finds the detach sequence in what a client types.
///
/// As Docker does: bytes that may be the start of the sequence are held back until the next ones decide. When
/// they turn out not to be, they are passed on, together with the byte that decided, which is not looked at again
/// as a possible start.
#[derive(Debug, Default)]
pub(super) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// `keys` empty: nothing detaches.
    pub(super) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Appends to `passed` what goes on to the process. True when the sequence is complete; what follows it is
    /// dropped.
    pub(super) fn filter(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            passed.extend_from_slice(typed);
            return false;
        }
        for byte in typed {
            if self.keys[self.matched] == *byte {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
            } else {
                self.release(passed);
                passed.push(*byte);
            }
        }
        false
    }

    /// The client has ended its input: what was held back is not going to be the sequence.
    pub(super) fn release(&mut self, passed: &mut Vec<u8>) {
        passed.extend_from_slice(&self.keys[..self.matched]);
        self.matched = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_detaches_and_partial_ones_pass() {
        let default: &[u8] = &[0x10, 0x11];
        type Case = (&'static [u8], &'static [&'static [u8]], &'static [u8], bool);
        let cases: [Case; 9] = [
            (default, &[b"ab"], b"ab", false),
            (default, &[b"ab\x10\x11cd"], b"ab", true),
            (default, &[b"a\x10", b"\x11"], b"a", true),
            (default, &[b"a\x10", b"b"], b"a\x10b", false),
            (default, &[b"\x10"], b"", false),
            (default, &[b"\x11\x10"], b"\x11", false),
            // The second ^P is not taken for a new start.
            (default, &[b"\x10\x10\x11"], b"\x10\x10\x11", false),
            (b"", &[b"\x10\x11"], b"\x10\x11", false),
            (b"x", &[b"ax"], b"a", true),
        ];
        for (keys, typed, expected, detached) in cases {
            let mut filter = DetachKeys::new(keys.to_vec());
            let mut passed = Vec::new();
            let done = typed.iter().any(|part| filter.filter(part, &mut passed));
            assert_eq!((passed.as_slice(), done), (expected, detached), "{keys:?} in {typed:?}");
        }
    }

    #[test]
    fn a_held_back_start_is_passed_on_at_the_end() {
        let mut filter = DetachKeys::new(vec![1, 2, 3]);
        let mut passed = Vec::new();
        assert!(!filter.filter(&[9, 1, 2], &mut passed));
        filter.release(&mut passed);
        filter.release(&mut passed);
        assert_eq!(passed, [9, 1, 2]);
    }
}
