//! Times as clients read them.

/// RFC 3339 with as many digits of the second as needed, as Go prints it; never: the year 1.
pub fn rfc3339(nanoseconds: Option<i64>) -> String {
    match nanoseconds {
        None | Some(0) => api_types::NEVER.to_owned(),
        Some(nanoseconds) => match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
            Ok(timestamp) => timestamp.to_string(),
            Err(_) => api_types::NEVER.to_owned(),
        },
    }
}

/// RFC 3339 with all nine digits, as in front of log lines.
pub fn rfc3339_fixed(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(timestamp) => format!("{timestamp:.9}"),
        Err(_) => api_types::NEVER.to_owned(),
    }
}

/// Go's `units.HumanDuration`: `About a minute`, `3 weeks`.
pub fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_dockers() {
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (70 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn times_have_the_digits_they_need() {
        assert_eq!(rfc3339(Some(1_700_000_000_500_000_000)), "2023-11-14T22:13:20.5Z");
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339_fixed(1_700_000_000_500_000_000), "2023-11-14T22:13:20.500000000Z");
    }
}
