//! Health checks: what is asked for, and what follows from a result. Pure.
//!
//! ```text
//!            success                    failures in a row = retries
//! starting ──────────▶ healthy ◀──────────────▶ unhealthy
//!     └──────────────────────────────────────────▲
//!        so many failures after the start period
//! ```
//!
//! A container whose checks have stopped, because it is paused or has ended, counts as unhealthy, as in Docker.

use std::collections::VecDeque;
use std::time::Duration;

use api_types::config::{Config, Healthcheck};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};
use crate::time::rfc3339;

/// Results that are kept.
const KEPT: usize = 5;

/// Most bytes of a check's output that are kept.
pub const OUTPUT_LIMIT: usize = 4096;

/// How healthy a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No check has succeeded yet, and not too many have failed.
    Starting,
    /// The last check has succeeded, or fewer have failed than are tolerated.
    Healthy,
    /// Too many checks have failed, or none are made any more.
    Unhealthy,
}

impl Status {
    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A container's health, as kept in its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How healthy.
    pub status: Status,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last results, the oldest first.
    pub log: VecDeque<CheckResult>,
}

/// How one check went. Times are Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// When it began.
    pub start: i64,
    /// When it was over.
    pub end: i64,
    /// 0: healthy; −1: it could not be run, or took too long.
    pub exit_code: i32,
    /// What it wrote, cut.
    pub output: String,
}

/// What is checked, and how often; the defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Between checks.
    pub interval: Duration,
    /// Between checks in the start period.
    pub start_interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How long after its start a container's failures do not count.
    pub start_period: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: i64,
}

impl Check {
    /// The check of a container; none: it has none, or one of a kind that nobody knows.
    pub fn of(config: &Config) -> Option<Self> {
        let wanted = config.healthcheck.as_ref()?;
        let (kind, words) = wanted.test.as_deref()?.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let mut command = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
                command.extend(words.iter().cloned());
                command
            }
            _ => return None,
        };
        let time = |nanoseconds: i64, default: u64| match u64::try_from(nanoseconds) {
            Ok(0) | Err(_) => Duration::from_secs(default),
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        };
        Some(Self {
            command,
            interval: time(wanted.interval, 30),
            start_interval: time(wanted.start_interval, 5),
            timeout: time(wanted.timeout, 30),
            start_period: time(wanted.start_period, 0),
            retries: if wanted.retries > 0 { wanted.retries } else { 3 },
        })
    }

    /// Time to the next check of a container that has run for `age`.
    pub fn wait(&self, status: Status, age: Duration) -> Duration {
        if status == Status::Starting && age < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }
}

/// Refuses numbers that make no sense, in Docker's words.
pub fn check_numbers(check: &Healthcheck) -> Result<()> {
    const MILLISECOND: i64 = 1_000_000;
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < MILLISECOND {
            return Err(EngineError::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(EngineError::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

impl Health {
    /// That of a container that has just been started; what is known of earlier runs stays to be read.
    pub fn started(before: Option<Self>) -> Self {
        let log = before.map(|before| before.log).unwrap_or_default();
        Self { status: Status::Starting, failing_streak: 0, log }
    }

    /// No more checks are made.
    #[must_use]
    pub fn stopped(self) -> Self {
        Self { status: Status::Unhealthy, ..self }
    }

    /// After a check that began when the container had run for `age`.
    #[must_use]
    pub fn after(mut self, check: &Check, age: Duration, result: CheckResult) -> Self {
        let failed = result.exit_code != 0;
        while self.log.len() >= KEPT {
            self.log.pop_front();
        }
        self.log.push_back(result);
        if !failed {
            self.failing_streak = 0;
            self.status = Status::Healthy;
            return self;
        }
        let forgiven = self.status == Status::Starting && age < check.start_period;
        if !forgiven {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = Status::Unhealthy;
            }
        }
        self
    }

    /// As `inspect` shows it.
    pub fn inspected(&self) -> api_types::container::Health {
        let result = |result: &CheckResult| api_types::container::HealthResult {
            start: rfc3339(Some(result.start)),
            end: rfc3339(Some(result.end)),
            exit_code: result.exit_code,
            output: result.output.clone(),
        };
        api_types::container::Health {
            status: self.status.word().to_owned(),
            failing_streak: self.failing_streak,
            log: Some(self.log.iter().map(result).collect()),
        }
    }
}

/// A check's output as text: what is beyond the limit is cut off, which shows.
pub fn output(bytes: &[u8]) -> String {
    let cut = bytes.len() > OUTPUT_LIMIT;
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(OUTPUT_LIMIT)]).into_owned();
    if cut {
        text.push_str("...");
    }
    text
}

/// What the result of a check says that took too long.
pub fn exceeded(timeout: Duration, output: &str) -> String {
    let timeout = go_duration(timeout);
    match output {
        "" => format!("Health check exceeded timeout ({timeout})"),
        output => format!("Health check exceeded timeout ({timeout}): {output}"),
    }
}

/// Go's way to print a duration: `1m30s`, `1.5s`, `20ms`.
fn go_duration(duration: Duration) -> String {
    let fraction = |value: u128, unit: u128| {
        let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        match digits.trim_end_matches('0') {
            "" => (value / unit).to_string(),
            digits => format!("{}.{digits}", value / unit),
        }
    };
    let nanoseconds = duration.as_nanos();
    match duration.as_secs() {
        0 if nanoseconds < 1_000 => format!("{nanoseconds}ns"),
        0 if nanoseconds < 1_000_000 => format!("{}µs", fraction(nanoseconds, 1_000)),
        0 => format!("{}ms", fraction(nanoseconds, 1_000_000)),
        seconds => {
            let rest = fraction(nanoseconds % 60_000_000_000, 1_000_000_000);
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{rest}s"),
                (0, minutes) => format!("{minutes}m{rest}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|&word| word.to_owned()).collect())
    }

    fn config(test: &[&str]) -> Config {
        let healthcheck = Healthcheck { test: words(test), ..Healthcheck::default() };
        Config { healthcheck: Some(healthcheck), ..Config::default() }
    }

    fn result(exit_code: i32) -> CheckResult {
        CheckResult { start: 1, end: 2, exit_code, output: String::new() }
    }

    #[test]
    fn a_check_is_a_command_with_defaults() {
        let check = Check::of(&config(&["CMD", "a", "b"])).unwrap();
        assert_eq!(check.command, ["a", "b"]);
        assert_eq!((check.interval.as_secs(), check.timeout.as_secs(), check.retries), (30, 30, 3));
        assert_eq!(Check::of(&config(&["CMD-SHELL", "x y"])).unwrap().command, ["/bin/sh", "-c", "x y"]);
        let shell = Config { shell: words(&["/bin/ash", "-ec"]), ..config(&["CMD-SHELL", "x"]) };
        assert_eq!(Check::of(&shell).unwrap().command, ["/bin/ash", "-ec", "x"]);
        for none in [&["NONE"][..], &["FOO", "x"], &[]] {
            assert_eq!(Check::of(&config(none)), None, "{none:?}");
        }
        assert_eq!(Check::of(&Config::default()), None);
    }

    #[test]
    fn health_follows_the_results() {
        let mut check = Check::of(&config(&["CMD", "x"])).unwrap();
        check.retries = 2;
        check.start_period = Duration::from_secs(10);
        // (seconds since the start, exit code, status, streak)
        let cases = [
            (1, 1, Status::Starting, 0),
            (9, -1, Status::Starting, 0),
            (11, 1, Status::Starting, 1),
            (12, 0, Status::Healthy, 0),
            (13, 1, Status::Healthy, 1),
            (14, 1, Status::Unhealthy, 2),
            (15, 1, Status::Unhealthy, 3),
            (16, 0, Status::Healthy, 0),
        ];
        let mut health = Health::started(None);
        for (age, code, status, streak) in cases {
            health = health.after(&check, Duration::from_secs(age), result(code));
            assert_eq!((health.status, health.failing_streak), (status, streak), "at {age}");
        }
        assert_eq!(health.log.len(), KEPT);
        assert_eq!(health.log.back().unwrap().exit_code, 0);
        let stopped = health.stopped();
        assert_eq!(stopped.status, Status::Unhealthy);
        let again = Health::started(Some(stopped));
        assert_eq!((again.status, again.log.len()), (Status::Starting, KEPT));
    }

    #[test]
    fn failures_in_the_start_period_count_once_it_has_been_healthy() {
        let mut check = Check::of(&config(&["CMD", "x"])).unwrap();
        check.start_period = Duration::from_secs(10);
        let second = Duration::from_secs(1);
        assert_eq!(check.wait(Status::Starting, second), check.start_interval);
        assert_eq!(check.wait(Status::Healthy, second), check.interval);
        let health = Health::started(None).after(&check, second, result(0)).after(&check, second, result(1));
        assert_eq!(health.failing_streak, 1);
    }

    #[test]
    fn senseless_numbers_are_refused() {
        type Change = fn(&mut Healthcheck);
        let cases: [(Change, &str); 5] = [
            (|c| c.interval = 1, "Interval in Healthcheck cannot be less than 1ms"),
            (|c| c.timeout = -1, "Timeout in Healthcheck cannot be less than 1ms"),
            (|c| c.start_period = 5, "StartPeriod in Healthcheck cannot be less than 1ms"),
            (|c| c.start_interval = 5, "StartInterval in Healthcheck cannot be less than 1ms"),
            (|c| c.retries = -1, "Retries in Healthcheck cannot be negative"),
        ];
        for (change, expected) in cases {
            let mut check = Healthcheck::default();
            change(&mut check);
            assert_eq!(check_numbers(&check).unwrap_err().message(), expected);
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (nanoseconds, expected) in [
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (20_000_000, "20ms"),
            (1_500_000, "1.5ms"),
            (90_000_000_000, "1m30s"),
            (60_000_000_000, "1m0s"),
            (3_660_000_000_000, "1h1m0s"),
            (2_500, "2.5µs"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), expected);
        }
    }

    #[test]
    fn output_is_cut_where_it_is_too_long() {
        assert_eq!(output(b"ab"), "ab");
        let long = output(&vec![b'x'; OUTPUT_LIMIT + 9]);
        assert_eq!(long.len(), OUTPUT_LIMIT + 3);
        assert!(long.ends_with("x..."));
        assert_eq!(exceeded(Duration::from_secs(1), ""), "Health check exceeded timeout (1s)");
        assert_eq!(exceeded(Duration::from_secs(1), "a\n"), "Health check exceeded timeout (1s): a\n");
    }
}
