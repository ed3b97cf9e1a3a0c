//! `restart`: stops containers and starts them again.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;

use super::each::{Done, each};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct RestartArgs {
    signal: String,
    timeout: Option<i64>,
    /// The older spelling of `timeout`.
    time: Option<i64>,
}

const FLAGS: &[Flag<RestartArgs>] = &[
    flag!(RestartArgs, signal, 's', "signal", "Signal to send instead of the container's stop signal"),
    flag!(RestartArgs, timeout, 't', "timeout", "Seconds to wait before the container is killed"),
    flag!(RestartArgs, time, "time", ""),
];

/// `restart`.
pub(crate) struct Restart;

impl Command for Restart {
    type Args = RestartArgs;
    const FLAGS: Tables<RestartArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Stop containers, and start them again";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: RestartArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        if args.time.is_some() && args.timeout.is_some() {
            return Err(CommandError::new("conflicting options: cannot specify both --timeout and --time"));
        }
        let engine = context.engine(ui)?;
        let seconds = args.timeout.or(args.time);
        let signal = args.signal.as_str();
        each(&operands, ui, async |name: String| {
            engine.restart_container(&name, signal, seconds).await.map(|()| Done::Told)
        })
        .await
    }
}
