//! Signal names.

use crate::error::{EngineError, Result};

const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// SIGTERM.
pub const TERM: i32 = 15;
/// SIGKILL.
pub const KILL: i32 = 9;

/// Number of a signal given as `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`.
pub fn parse(text: &str) -> Result<i32> {
    let invalid = || EngineError::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            1..=64 => Ok(number),
            0 => Err(invalid()),
            _ => Err(EngineError::invalid(format!("the linux daemon does not support signal {number}"))),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset =
        |rest: &str| if rest.is_empty() { Some(0) } else { rest[1..].parse::<u8>().ok().map(i32::from) };
    let real_time = if let Some(rest) =
        name.strip_prefix("RTMIN").filter(|rest| rest.is_empty() || rest.starts_with('+'))
    {
        offset(rest).map(|n| 34 + n)
    } else if let Some(rest) =
        name.strip_prefix("RTMAX").filter(|rest| rest.is_empty() || rest.starts_with('-'))
    {
        offset(rest).map(|n| 64 - n)
    } else {
        None
    };
    real_time.filter(|number| (34..=64).contains(number)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_are_read_by_name_and_number() {
        for (text, expected) in [
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("sigusr1", Some(10)),
            ("9", Some(9)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX", Some(64)),
            ("RTMAX-1", Some(63)),
            ("0", None),
            ("65", None),
            ("FOO", None),
            ("RTMIN+99", None),
            ("RTMIN+2147483647", None),
            ("RTMIN+-3", None),
            ("RTMAX--1", None),
            ("", None),
            ("RTMINX", None),
        ] {
            assert_eq!(super::parse(text).ok(), expected, "{text}");
        }
    }
}
