//! `start`: starts stopped containers, or one with its streams attached.

use std::io::Write;

use api_client::Client;
use api_client::containers::{AttachOptions, WaitCondition};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::session::detach::Detach;
use crate::session::ending::{Ended, Ending};
use crate::session::signals::{self, Signals, Terminal};
use crate::session::{End, Session, Streams};
use crate::ui::Ui;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct StartArgs {
    attach: bool,
    interactive: bool,
    detach_keys: String,
}

const FLAGS: &[Flag<StartArgs>] = &[
    flag!(StartArgs, attach, 'a', "attach", "Attach to the output and pass signals on"),
    flag!(StartArgs, interactive, 'i', "interactive", "Attach to standard input as well"),
    flag!(StartArgs, detach_keys, "detach-keys", "Keys that detach from the container, \"ctrl-a,x\""),
];

/// `start`.
pub(crate) struct Start;

impl Command for Start {
    type Args = StartArgs;
    const FLAGS: Tables<StartArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Start stopped containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: StartArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let keys = match args.detach_keys.as_str() {
            "" => context.config(ui).detach_keys.clone(),
            keys => keys.to_owned(),
        };
        Detach::parse(&keys).map_err(CommandError::new)?;
        let engine = context.engine(ui)?;
        if !args.attach && !args.interactive {
            return start_all(engine, &operands, ui).await;
        }
        match operands.as_slice() {
            [container] => start_attached(engine, container, args.interactive, keys).await?.tell(ui),
            _ => Err(CommandError::new("you cannot start and attach multiple containers at once")),
        }
    }
}

async fn start_all(engine: &Client, containers: &[String], ui: &mut Ui) -> Outcome {
    let mut failed = Vec::new();
    for container in containers {
        match engine.start_container(container).await {
            Ok(()) => writeln!(ui.stdout(), "{container}")?,
            Err(error) => {
                ui.tell(&error.to_string());
                failed.push(container.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(CommandError::new(format!("Error: failed to start containers: {}", failed.join(", "))))
}

async fn start_attached(
    engine: &Client,
    container: &str,
    interactive: bool,
    detach_keys: String,
) -> Result<Ended, CommandError> {
    let found = engine.inspect_container(container).await?;
    let id = found.id.as_str();
    let tty = found.config.tty;
    let mut signals = if tty { Signals::that_end() } else { Signals::to_pass_on() };
    let stdin = interactive && found.config.open_stdin;
    let options = AttachOptions { stdin, stdout: true, stderr: true, detach_keys: detach_keys.clone() };
    let hijacked = engine.attach_container(id, &options).await?;
    let streams = Streams { stdin, stdout: true, stderr: true, tty, detach_keys };
    let mut session = Session::start(hijacked, &streams)?;
    let auto_remove = found.host_config.auto_remove;
    let condition = if auto_remove { WaitCondition::Removed } else { WaitCondition::NextExit };
    let wait = engine.wait_container(id, condition).await?;
    if let Err(error) = engine.start_container(id).await {
        session.hang_up();
        let _ = session.end().await;
        if auto_remove {
            let _ = wait.result().await;
        }
        return Err(error.into());
    }
    tokio::select! {
        end = session.end() => match end? {
            End::Detached => Ok(Ended::with(0)),
            End::Closed => {
                let ending = Ending::new(engine, id, condition);
                ending.streams_ended();
                ending.wait(wait).await
            }
        },
        code = signals.handle(engine, (!tty).then_some(id)) => Ok(Ended::with(code)),
        () = signals::follow_window(engine, tty, Terminal::Container(id)) => Ok(Ended::with(0)),
    }
}
