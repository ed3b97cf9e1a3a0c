//! Signals that reach us: on to the container, or the end; and the size of our window.

use std::time::Duration;

use api_client::{Client, ClientError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::ui::{self, Size, Ui};

/// Signals that are passed on by name. Job control stays ours (TSTP, TTIN, TTOU, CONT), and what only concerns a
/// process itself (CHLD, PIPE, URG, WINCH) means nothing to another.
const NAMES: [(i32, &str); 15] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (5, "TRAP"),
    (6, "ABRT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (15, "TERM"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (29, "IO"),
    (30, "PWR"),
];
/// The first and the last real-time signal that programs may use.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
/// Signals that end us when nothing is passed on.
const ENDING: [i32; 4] = [1, 2, 3, 15];

/// Signals as they come.
pub(crate) struct Signals(mpsc::UnboundedReceiver<i32>);

impl Signals {
    /// Takes every signal that can be passed on.
    pub(crate) fn to_pass_on() -> Self {
        Self::take(NAMES.iter().map(|(number, _)| *number).chain(REAL_TIME))
    }

    /// Takes the signals that would end us, so that the terminal can be put back first.
    pub(crate) fn that_end() -> Self {
        Self::take(ENDING.into_iter())
    }

    fn take(numbers: impl Iterator<Item = i32>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        for number in numbers {
            // Signals that a debugger or the C library keeps for itself are simply not passed on.
            let Ok(mut signal) = signal(SignalKind::from_raw(number)) else { continue };
            let sender = sender.clone();
            tokio::spawn(
                async move { while signal.recv().await.is_some() && sender.send(number).is_ok() {} },
            );
        }
        Self(receiver)
    }

    /// The next one's number.
    async fn next(&mut self) -> i32 {
        match self.0.recv().await {
            Some(number) => number,
            None => std::future::pending().await,
        }
    }

    /// Passes signals on to `container` for ever; without one, answers the exit code of the first that comes.
    pub(crate) async fn handle(&mut self, engine: &Client, container: Option<&str>) -> u8 {
        loop {
            let number = self.next().await;
            let Some(container) = container else { return exit_code(number) };
            // The container may have ended; its exit is told elsewhere.
            let _ = engine.kill_container(container, &name(number)).await;
        }
    }
}

/// A signal's name as the API takes it.
fn name(number: i32) -> String {
    match NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => number.to_string(),
    }
}

/// Exit code of a process that a signal ended.
fn exit_code(number: i32) -> u8 {
    u8::try_from(128 + number).unwrap_or(u8::MAX)
}

/// Whose terminal follows our window.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Terminal<'a> {
    /// A container's.
    Container(&'a str),
    /// An exec's.
    Exec(&'a str),
}

impl Terminal<'_> {
    async fn resize(self, engine: &Client, size: Size) -> Result<(), ClientError> {
        if size == Size::default() {
            return Ok(());
        }
        match self {
            Self::Container(id) => engine.resize_container(id, size.rows, size.columns).await,
            Self::Exec(id) => engine.resize_exec(id, size.rows, size.columns).await,
        }
    }
}

/// Keeps the terminal's size that of our window, for ever, where both are terminals. The first attempts may come
/// before the process has started and are repeated.
pub(crate) async fn follow_window(engine: &Client, tty: bool, terminal: Terminal<'_>) {
    let changes = signal(SignalKind::window_change());
    if let Ok(mut changes) = changes
        && tty
        && ui::stdout_is_terminal()
    {
        first_size(engine, terminal).await;
        while changes.recv().await.is_some() {
            // The next change brings the size anyway.
            let _ = terminal.resize(engine, ui::terminal_size()).await;
        }
    }
    std::future::pending().await
}

async fn first_size(engine: &Client, terminal: Terminal<'_>) {
    for attempt in 1..=10 {
        if terminal.resize(engine, ui::terminal_size()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10 * attempt)).await;
    }
    Ui::stdio().tell("failed to resize tty, using default size");
}
