//! `kill`: sends a signal to containers.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;

use super::each::{Done, each};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct KillArgs {
    signal: String,
}

const FLAGS: &[Flag<KillArgs>] =
    &[flag!(KillArgs, signal, 's', "signal", "Signal to send instead of SIGKILL")];

/// `kill`.
pub(crate) struct Kill;

impl Command for Kill {
    type Args = KillArgs;
    const FLAGS: Tables<KillArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Send a signal to running containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: KillArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let engine = context.engine(ui)?;
        let signal = args.signal.as_str();
        each(&operands, ui, async |name: String| {
            engine.kill_container(&name, signal).await.map(|()| Done::Told)
        })
        .await
    }
}
