//! `stop` and `restart`: ask containers to end, end them when they do not, and start them again.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;

use super::each::{Done, each};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct StopArgs {
    signal: String,
    timeout: Option<i64>,
    /// The older spelling of `timeout`.
    time: Option<i64>,
}

const FLAGS: &[Flag<StopArgs>] = &[
    flag!(StopArgs, signal, 's', "signal", "Signal to send instead of the container's stop signal"),
    flag!(StopArgs, timeout, 't', "timeout", "Seconds to wait before the container is killed"),
    flag!(StopArgs, time, "time", ""),
];

impl StopArgs {
    /// How long the container has, by either spelling; none: its own time.
    fn seconds(&self) -> Result<Option<i64>, CommandError> {
        if self.time.is_some() && self.timeout.is_some() {
            return Err(CommandError::new("conflicting options: cannot specify both --timeout and --time"));
        }
        Ok(self.timeout.or(self.time))
    }
}

/// `stop`.
pub(crate) struct Stop;

impl Command for Stop {
    type Args = StopArgs;
    const FLAGS: Tables<StopArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Stop running containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: StopArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let (seconds, engine) = (args.seconds()?, context.engine(ui)?);
        each(&operands, ui, async |name: String| {
            engine.stop_container(&name, &args.signal, seconds).await.map(|()| Done::Told)
        })
        .await
    }
}

/// `restart`.
pub(crate) struct Restart;

impl Command for Restart {
    type Args = StopArgs;
    const FLAGS: Tables<StopArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Stop containers, and start them again";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: StopArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let (seconds, engine) = (args.seconds()?, context.engine(ui)?);
        each(&operands, ui, async |name: String| {
            engine.restart_container(&name, &args.signal, seconds).await.map(|()| Done::Told)
        })
        .await
    }
}
