//! `run`: creates a container, attaches to it, starts it and waits for its end.

use std::io::Write;

use api_client::Client;
use api_client::containers::{AttachOptions, Wait, WaitCondition};
use api_types::container::CreateRequest;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, NOT_EXECUTABLE, NOT_FOUND, OWN_FAILURE, Outcome};
use crate::flags::{Flag, Order, Tables, flag};
use crate::request::flags::{CONTAINER_FLAGS, ContainerArgs};
use crate::session::detach::Detach;
use crate::session::ending::{Ended, Ending};
use crate::session::signals::{self, Signals, Terminal};
use crate::session::{End, Session, Streams};
use crate::ui::{self, Ui};

use super::create::{create_container, prepare, refuse_windows, with_help};

/// Flags that only `run` has.
const RUN_FLAGS: &[Flag<ContainerArgs>] = &[
    flag!(ContainerArgs, detach, 'd', "detach", "Leave the container running and print its ID"),
    flag!(ContainerArgs, detach_keys, "detach-keys", "Keys that detach from the container, \"ctrl-a,x\""),
    flag!(ContainerArgs, sig_proxy, "sig-proxy", "Pass signals on to the container (default true)"),
];

/// `run`.
pub(crate) struct Run;

impl Command for Run {
    type Args = ContainerArgs;
    const FLAGS: Tables<ContainerArgs> = &[CONTAINER_FLAGS, RUN_FLAGS];
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ABOUT: &'static str = "Run a command in a new container";
    const ARITY: Arity = Arity::AtLeast(1);
    const ORDER: Order = Order::FlagsFirst;

    async fn run(args: ContainerArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let program = context.program;
        refuse_windows(&args)?;
        let mut body = prepare(&args, &operands, context, ui)
            .map_err(|error| with_help(program, &error, "run", OWN_FAILURE))?;
        let keys = match args.detach_keys.as_str() {
            "" => context.config(ui).detach_keys.clone(),
            keys => keys.to_owned(),
        };
        Detach::parse(&keys).map_err(CommandError::new)?;
        let streams = streams(&args, &mut body, keys)?;
        let engine = context.engine(ui)?;
        let id = create_container(engine, &args, &mut body, context, ui)
            .await
            .map_err(|error| container_failure(program, &error.message))?;
        match streams {
            None => {
                // The id is there for whoever reads it even if the start fails.
                writeln!(ui.stdout(), "{id}")?;
                ui.flush()?;
                let started = engine.start_container(&id).await;
                started.map_err(|error| container_failure(program, &error.to_string()))?;
                Ok(0)
            }
            Some(streams) => run_attached(engine, &id, &args, &streams, program).await?.tell(ui),
        }
    }
}

/// What `run` attaches to; none when it leaves the container alone. Adjusts the container to it.
fn streams(
    args: &ContainerArgs,
    body: &mut CreateRequest,
    detach_keys: String,
) -> Result<Option<Streams>, CommandError> {
    let config = &mut body.config;
    if args.detach {
        if !args.attach.is_empty() {
            let text = "conflicting options: cannot specify both --attach and --detach";
            return Err(CommandError::new(text));
        }
        (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
        config.stdin_once = false;
        return Ok(None);
    }
    if config.attach_stdin && config.tty && !ui::stdin_is_terminal() {
        return Err(CommandError::new("the input device is not a TTY"));
    }
    Ok(Some(Streams {
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        tty: config.tty,
        detach_keys,
    }))
}

/// A failure whose exit code depends on what the engine says of the program.
fn container_failure(program: &str, message: &str) -> CommandError {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let code = if says(&[
        "executable file not found",
        "no such file or directory",
        "system cannot find the file specified",
    ]) {
        NOT_FOUND
    } else if says(&["permission denied", "is a directory"]) {
        NOT_EXECUTABLE
    } else {
        OWN_FAILURE
    };
    with_help(program, message, "run", code)
}

/// Attaches, notes the wait, starts: in this order nothing of the output and no exit code can be missed.
async fn run_attached(
    engine: &Client,
    id: &str,
    args: &ContainerArgs,
    streams: &Streams,
    program: &str,
) -> Result<Ended, CommandError> {
    let proxy = args.sig_proxy.unwrap_or(true);
    let mut signals = if proxy { Signals::to_pass_on() } else { Signals::that_end() };
    let options = AttachOptions {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        detach_keys: streams.detach_keys.clone(),
    };
    let hijacked = engine.attach_container(id, &options).await?;
    let mut session = Session::start(hijacked, streams)?;
    let condition = if args.rm { WaitCondition::Removed } else { WaitCondition::NextExit };
    let wait = engine.wait_container(id, condition).await?;
    if let Err(error) = engine.start_container(id).await {
        session.hang_up();
        let _ = session.end().await;
        drop(session);
        if args.rm {
            // The engine removes what it could not start; its name is free when we return.
            let _ = wait.result().await;
        }
        return Err(container_failure(program, &error.to_string()));
    }
    let ending = Ending::new(engine, id, condition);
    tokio::select! {
        outcome = outcome(&mut session, &ending, wait, streams) => outcome,
        code = signals.handle(engine, proxy.then_some(id)) => Ok(Ended::with(code)),
        () = signals::follow_window(engine, streams.tty, Terminal::Container(id)) => Ok(Ended::with(0)),
    }
}

/// Waits for the end of the streams and of the container.
async fn outcome(
    session: &mut Session,
    ending: &Ending<'_>,
    wait: Wait,
    streams: &Streams,
) -> Result<Ended, CommandError> {
    let mut status = std::pin::pin!(ending.wait(wait));
    tokio::select! {
        end = session.end() => match end? {
            End::Detached => Ok(Ended::with(0)),
            End::Closed => {
                ending.streams_ended();
                status.await
            }
        },
        ended = &mut status => {
            let ended = ended?;
            // Output may still be under way; without output there is nothing to wait for.
            if !streams.stdout && !streams.stderr {
                session.hang_up();
            }
            let _ = session.end().await;
            Ok(ended)
        }
    }
}
