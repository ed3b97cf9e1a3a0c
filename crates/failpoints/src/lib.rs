//! Failpoints: named points at which a test makes a program die, fail or stand still.
//!
//! ```text
//! CORTEN_FAIL=create.saved:kill              dies by SIGKILL when it comes there
//! CORTEN_FAIL=start.prepared:error@2         the second time, what is being done fails
//! CORTEN_FAIL=exit.heard:pause,…             stops by SIGSTOP, until somebody sends SIGCONT
//! ```
//!
//! A crate lists its points once, by [`points!`]; a program prints the list (`--list-failpoints`), so that a test which
//! goes over all of them finds a new one by itself. They are part of the released programs: what is tested is what runs
//! elsewhere, and a point that nobody has armed costs one relaxed load of a flag that is never written again. Who may
//! set the environment of a daemon may do worse to it.
//!
//! Knows nothing of what happens between two points.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The environment variable that arms.
pub const VARIABLE: &str = "CORTEN_FAIL";

/// Something is armed. Set once, before the program has a second thread.
static ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

/// Declares points as constants and `ALL`, the list of them.
///
/// ```
/// mod points {
///     failpoints::points! {
///         /// The directory is there, its row is not.
///         CREATE_DIRECTORY = "create.directory", may fail;
///         /// Everything is done; nobody has been told.
///         CREATE_SAVED = "create.saved";
///     }
/// }
/// assert_eq!(points::ALL.len(), 2);
/// ```
#[macro_export]
macro_rules! points {
    ($($(#[$about:meta])* $name:ident = $text:literal $(, $may:ident fail)?;)*) => {
        $($(#[$about])* pub(crate) const $name: $crate::Point = $crate::Point::new($text)$(.$may())?;)*
        /// Every point of this crate.
        pub const ALL: &[$crate::Point] = &[$($name),*];
    };
}

/// A named point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    name: &'static str,
    may_fail: bool,
}

impl Point {
    /// A point that can be passed, or not be survived.
    pub const fn new(name: &'static str) -> Self {
        Self { name, may_fail: false }
    }

    /// What is being done there can fail, too.
    #[must_use]
    pub const fn may(self) -> Self {
        Self { may_fail: true, ..self }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Passes it: dies or stands still here, if that is armed.
    pub fn pass(self) {
        if ARMED.load(Ordering::Relaxed) {
            // A point that cannot fail is not armed to.
            let _ = self.hit();
        }
    }

    /// Passes it, or fails here if that is armed.
    pub fn check(self) -> Result<(), Injected> {
        if ARMED.load(Ordering::Relaxed) { self.hit() } else { Ok(()) }
    }

    #[cold]
    fn hit(self) -> Result<(), Injected> {
        let armed = PLAN.get().into_iter().flat_map(|plan| &plan.armed);
        for armed in armed.filter(|armed| armed.point == self) {
            if armed.seen.fetch_add(1, Ordering::Relaxed) + 1 == armed.at {
                armed.action.take(self)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\tkill pause{}", self.name, if self.may_fail { " error" } else { "" })
    }
}

/// A failure that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected(Point);

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failpoint {} is armed", self.0.name)
    }
}

impl std::error::Error for Injected {}

impl From<Injected> for io::Error {
    fn from(injected: Injected) -> Self {
        Self::other(injected)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
    Pause,
}

impl Action {
    fn take(self, point: Point) -> Result<(), Injected> {
        use rustix::process::{Signal, getpid, kill_process};
        let signal = match self {
            Self::Error => return Err(Injected(point)),
            Self::Kill => Signal::KILL,
            Self::Pause => Signal::STOP,
        };
        // To ourselves, which is always allowed; a stop takes effect before the call returns.
        let _ = kill_process(getpid(), signal);
        Ok(())
    }
}

#[derive(Debug)]
struct Armed {
    point: Point,
    action: Action,
    /// Which time it strikes.
    at: u32,
    seen: AtomicU32,
}

#[derive(Debug)]
struct Plan {
    text: String,
    armed: Vec<Armed>,
}

/// Arms what the environment says, for a program that passes `own` points and starts others that pass `others`.
///
/// # Errors
/// When the text is not understood, or names a point that nobody has.
pub fn arm(own: &[&[Point]], others: &[&[Point]]) -> Result<(), String> {
    arm_by(|text| parse(text, own, Some(others)))
}

/// The same for a program that is started by another, which has looked whether all points exist.
pub fn arm_own(own: &[&[Point]]) -> Result<(), String> {
    arm_by(|text| parse(text, own, None))
}

fn arm_by(parse: impl FnOnce(&str) -> Result<Vec<Armed>, String>) -> Result<(), String> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let text = text.to_string_lossy().into_owned();
    let armed = parse(&text).map_err(|why| format!("{VARIABLE}={text}: {why}"))?;
    // A second call finds the first one's plan in place.
    let _ = PLAN.set(Plan { text, armed });
    ARMED.store(true, Ordering::Relaxed);
    Ok(())
}

/// What this program was armed with, for the programs that it starts.
pub fn armed() -> Option<&'static str> {
    ARMED.load(Ordering::Relaxed).then(|| PLAN.get().map(|plan| plan.text.as_str())).flatten()
}

/// With `others` absent, a name that is not among our `own` is somebody else's.
fn parse(text: &str, own: &[&[Point]], others: Option<&[&[Point]]>) -> Result<Vec<Armed>, String> {
    let find = |points: &[&[Point]], name: &str| points.concat().into_iter().find(|point| point.name == name);
    let mut armed = Vec::new();
    for entry in text.split(',').filter(|entry| !entry.is_empty()) {
        let (name, action) = entry.split_once(':').ok_or("a point is armed as NAME:ACTION")?;
        let mine = find(own, name);
        let known = mine.or_else(|| find(others?, name));
        let Some(point) = known else {
            match others {
                Some(_) => return Err(format!("there is no point {name}")),
                None => continue,
            }
        };
        let (action, at) = action.split_once('@').unwrap_or((action, "1"));
        let at = at.parse().map_err(|_| format!("{at:?} is no number"))?;
        let action = match action {
            "kill" => Action::Kill,
            "error" => Action::Error,
            "pause" => Action::Pause,
            other => return Err(format!("{other:?} is neither kill, error nor pause")),
        };
        if action == Action::Error && !point.may_fail {
            return Err(format!("nothing can fail at {name}"));
        }
        armed.extend(mine.map(|point| Armed { point, action, at, seen: AtomicU32::new(0) }));
    }
    Ok(armed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[Point] = &[Point::new("a.one"), Point::new("a.two").may()];
    const OTHERS: &[Point] = &[Point::new("b.one")];

    #[test]
    fn texts_are_understood_or_refused_with_the_reason() {
        let table: [(&str, Result<usize, &str>); 9] = [
            ("", Ok(0)),
            ("a.one:kill", Ok(1)),
            ("a.one:pause,a.two:error@3", Ok(2)),
            ("b.one:kill", Ok(0)),
            ("a.three:kill", Err("there is no point a.three")),
            ("a.one", Err("a point is armed as NAME:ACTION")),
            ("a.one:explode", Err("\"explode\" is neither kill, error nor pause")),
            ("a.one:kill@x", Err("\"x\" is no number")),
            ("a.one:error", Err("nothing can fail at a.one")),
        ];
        for (text, wanted) in table {
            let found = parse(text, &[OWN], Some(&[OTHERS])).map(|armed| armed.len());
            assert_eq!(found, wanted.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn an_armed_point_strikes_the_time_that_was_asked_for_and_no_other() {
        let armed = parse("a.two:error@2,b.one:kill", &[OWN], None).unwrap();
        assert!(OWN[1].check().is_ok(), "nothing is armed yet");
        PLAN.set(Plan { text: String::new(), armed }).unwrap();
        ARMED.store(true, Ordering::Relaxed);
        assert_eq!([0; 3].map(|_| OWN[1].check().is_err()), [false, true, false]);
        assert!(OWN[0].check().is_ok());
    }
}
