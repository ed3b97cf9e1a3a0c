//! Container names and ids.

use crate::error::{EngineError, Result};

/// A new id: 64 hexadecimal digits, never digits alone in its first 12 (such a host name would be taken for a
/// number by some programs).
pub fn new_id() -> Result<String> {
    loop {
        let mut bytes = [0_u8; 32];
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| EngineError::system("cannot make an id", error))?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if id[..12].bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return Ok(id);
        }
    }
}

/// Checks a name given by the user, with or without its leading slash, and returns it without.
pub fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_on_well = bare.len() >= 2
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if starts_well && goes_on_well {
        Ok(bare)
    } else {
        Err(EngineError::invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

const ADJECTIVES: [&str; 40] = [
    "annealed", "bright", "brisk", "calm", "cast", "clever", "cold", "copper", "crisp", "deep", "eager",
    "early", "fair", "fine", "firm", "forged", "gentle", "golden", "grand", "hardy", "honest", "iron",
    "keen", "kind", "light", "lucid", "mellow", "neat", "noble", "patient", "plain", "quick", "quiet",
    "rusty", "sharp", "silver", "steady", "tempered", "warm", "wise",
];

const NOUNS: [&str; 40] = [
    "anchor", "anvil", "arch", "barge", "beam", "bolt", "bridge", "buoy", "cable", "canal", "cargo",
    "chisel", "crane", "dock", "ferry", "flange", "forge", "girder", "hammer", "harbor", "hull", "ingot",
    "keel", "ladder", "lever", "mast", "pier", "pulley", "quay", "rivet", "rudder", "sail", "spanner",
    "spring", "stack", "steel", "tower", "truss", "vessel", "winch",
];

/// A name for a container that was given none. `attempt` grows while names are taken.
pub fn generate(attempt: u32) -> Result<String> {
    let mut bytes = [0_u8; 4];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|error| EngineError::system("cannot make a name", error))?;
    let pick = |words: &[&'static str; 40], low: u8, high: u8| {
        words[(usize::from(low) | usize::from(high) << 8) % words.len()]
    };
    let name = format!("{}_{}", pick(&ADJECTIVES, bytes[0], bytes[1]), pick(&NOUNS, bytes[2], bytes[3]));
    Ok(match attempt {
        0 | 1 => name,
        more => format!("{name}{}", more + u32::from(bytes[0]) * 7 + u32::from(bytes[2])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_docker_checks_them() {
        for (name, good) in [
            ("ab", true),
            ("/ab", true),
            ("a1_.-", true),
            ("1a", true),
            ("a", false),
            ("", false),
            ("-x", false),
            (".x", false),
            ("a b", false),
            ("a/b", false),
            ("ä1", false),
        ] {
            assert_eq!(check(name).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn ids_are_64_digits_and_never_look_like_a_number() {
        let id = new_id().unwrap();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(id[..12].bytes().any(|byte| byte.is_ascii_alphabetic()));
    }

    #[test]
    fn generated_names_are_valid() {
        for attempt in 0..5 {
            let name = generate(attempt).unwrap();
            assert!(check(&name).is_ok(), "{name}");
        }
    }
}
