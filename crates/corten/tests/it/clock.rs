//! The clock is set while containers run. Only where the machine is the tests' own, which `$CORTEN_TEST_GUEST` says: a
//! guest of `scripts/test-vm.sh`.

use std::io::Write as _;

use testkit::Host;

const DAY: i64 = 86_400;

/// Sets the clock for as long as it lives; what passed meanwhile is kept.
struct Clock<'a> {
    host: &'a Host,
    moved: i64,
}

impl Clock<'_> {
    fn moves(&mut self, by: i64) {
        let now: i64 = self.host.run("date +%s").line().parse().unwrap();
        self.host.run(&format!("date -s @{}", now + by)).exits(0);
        self.moved += by;
    }
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        if self.moved != 0 {
            let back = -self.moved;
            self.moves(back);
        }
    }
}

fn nothing_has_fired(host: &Host) {
    // Each of these takes longer than a timer that is due.
    host.run("corten run --rm busybox true").exits(0);
    host.run("corten exec patient true").exits(0);
    let checks = "{{.State.Health.Status}} {{range .State.Health.Log}}x{{end}}";
    assert_eq!(host.inspect("patient", checks), "starting ");
    assert_eq!(host.inspect("stubborn", "{{.State.Status}}"), "running");
}

#[test]
fn a_clock_that_jumps_fires_no_timer_and_loses_nothing() {
    if std::env::var_os("CORTEN_TEST_GUEST").is_none() {
        // Not by a macro that the test's harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "skipped: it would set this machine's clock");
        return;
    }
    let host = Host::with_busybox();
    host.run("corten run -d --name patient --health-cmd false --health-interval 1h --health-retries 1 busybox sleep 1000")
        .exits(0);
    host.run("corten run -d --name stubborn busybox sh -c 'trap \"\" TERM; echo deaf; while :; do sleep 0.1; done'")
        .exits(0);
    host.until("it is deaf", || host.run("corten logs stubborn").stdout() == "deaf\n");
    let mut ticks =
        host.spawn("corten run --name ticks busybox sh -c 'while :; do echo tick; sleep 0.2; done'");
    let mut stop = host.spawn("corten stop -t 3600 stubborn");
    ticks.expect("tick");

    let mut clock = Clock { host: &host, moved: 0 };
    clock.moves(DAY);
    nothing_has_fired(&host);
    assert!(stop.is_running(), "an hour has not passed");
    clock.moves(-2 * DAY);
    nothing_has_fired(&host);
    assert!(stop.is_running());
    // What was started in the future has not run for a negative time.
    host.run("corten ps --filter name=patient --format '{{.Status}}'")
        .prints("Up Less than a second (health: starting)");
    host.run("corten stats --no-stream patient").exits(0);
    host.run("corten events --since 0 --until 1s --filter event=create").exits(0);
    let before = ticks.stdout().matches("tick").count();
    host.until("the client hears more", || ticks.stdout().matches("tick").count() > before + 2);
    let mut follower = host.spawn("corten logs -f --tail 1 ticks");
    follower.expect("tick\ntick\n");

    host.run("corten kill stubborn").exits(0);
    assert_eq!(stop.exit_code(), 0);
    host.run("corten wait stubborn").prints("137");
    drop(clock);
    host.run("corten rm -f patient stubborn ticks").exits(0);
    ticks.exit_code();
    assert_eq!(follower.exit_code(), 0);
}
