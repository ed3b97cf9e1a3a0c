//! The key sequence that detaches from a container and leaves it running.

/// Ctrl-P, Ctrl-Q.
const DEFAULT: &[u8] = &[0x10, 0x11];

/// Looks for the sequence in what is typed.
#[derive(Debug, Clone)]
pub(crate) struct Detach {
    keys: Vec<u8>,
    /// How many of them have been typed and held back.
    matched: usize,
}

impl Detach {
    /// Reads `ctrl-a,x`; an empty text means the default.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self { keys: DEFAULT.to_vec(), matched: 0 });
        }
        let keys = text
            .split(',')
            .map(|key| {
                byte_of(key)
                    .ok_or_else(|| format!("invalid detach keys ({text}): Unknown character: '{key}'"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys, matched: 0 })
    }

    /// Takes what was typed; answers what is to be sent, and whether the sequence is complete.
    pub(crate) fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (pass, true);
                }
                continue;
            }
            // It was something else after all; the first key may start it anew.
            pass.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                pass.push(*byte);
            }
        }
        (pass, false)
    }
}

/// The byte that a key sends: a letter itself, `ctrl-` with a letter or one of `@[\]^_`, or `DEL`.
fn byte_of(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return Some(*byte);
    }
    if key == "DEL" {
        return Some(0x7f);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [sign @ b'['..=b'_'] => Some(sign - b'@'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_reads() {
        let mut detach = Detach::parse("").unwrap();
        assert_eq!(detach.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(detach.feed(b"\x11rest"), (Vec::new(), true));
    }

    #[test]
    fn what_turns_out_not_to_be_it_is_sent() {
        let mut detach = Detach::parse("").unwrap();
        assert_eq!(detach.feed(b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(detach.feed(b"\x10"), (Vec::new(), false));
        assert_eq!(detach.feed(b"\x10"), (b"\x10".to_vec(), false));
        assert_eq!(detach.feed(b"\x11"), (Vec::new(), true));
    }

    #[test]
    fn keys_have_names() {
        let keys = |text| Detach::parse(text).map(|detach| detach.keys);
        assert_eq!(keys("ctrl-a,x,DEL,ctrl-[,ctrl-@"), Ok(vec![1, b'x', 0x7f, 0x1b, 0]));
        let want = "invalid detach keys (foo): Unknown character: 'foo'";
        assert_eq!(keys("foo"), Err(want.to_owned()));
    }
}
