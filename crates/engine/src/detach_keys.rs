//! Detach keys: `ctrl-p,ctrl-q` and the like, to the bytes that a terminal sends.

use crate::error::{EngineError, Result};

/// What detaches when nobody says otherwise: Ctrl-P Ctrl-Q.
pub const DEFAULT: [u8; 2] = [16, 17];

/// Bytes of a key sequence.
pub fn parse(keys: &str) -> Result<Vec<u8>> {
    keys.split(',')
        .map(|key| one(key).ok_or_else(|| EngineError::invalid(format!("Unknown character: '{key}'"))))
        .collect()
}

fn one(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return Some(*byte);
    }
    match key.to_ascii_lowercase().strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [b'['] => Some(27),
        [b'\\'] => Some(28),
        [b']'] => Some(29),
        [b'^'] => Some(30),
        [b'_'] => Some(31),
        _ => None,
    }
}

/// The keys of one client: its own, or the default ones. Without a terminal nothing detaches: the bytes are data.
pub(crate) fn for_client(keys: Option<&str>, tty: bool) -> Result<Vec<u8>> {
    match keys.filter(|keys| !keys.is_empty()) {
        Some(keys) => parse(keys).map(|keys| if tty { keys } else { Vec::new() }),
        None if tty => Ok(DEFAULT.to_vec()),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        for (keys, expected) in [
            ("ctrl-p,ctrl-q", Some(vec![16, 17])),
            ("ctrl-a,x", Some(vec![1, b'x'])),
            ("ctrl-@", Some(vec![0])),
            ("a", Some(vec![b'a'])),
            ("ctrl-[,ctrl-_", Some(vec![27, 31])),
            ("ctrl-1", None),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(parse(keys).ok(), expected, "{keys}");
        }
    }
}
