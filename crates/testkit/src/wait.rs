//! Waiting for a condition, never for a fixed time.

use std::time::{Duration, Instant};

/// How long a condition may take on a busy or emulated machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many times slower than a usual machine this one is: `$CORTEN_TEST_SLOWNESS`, which an emulated one sets. For the
/// few tests whose claim is a time.
pub fn slowness() -> u32 {
    std::env::var("CORTEN_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Waits until `condition` holds; `false` when `patience` ran out first.
pub fn within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(25));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_seen_and_one_that_does_not_times_out() {
        let mut calls = 0;
        assert!(within(PATIENCE, || {
            calls += 1;
            calls == 3
        }));
        assert!(!within(Duration::from_millis(5), || false));
    }
}
