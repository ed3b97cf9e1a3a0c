//! `attach`: connects the terminal to a running container.

use api_client::Client;
use api_client::containers::{AttachOptions, WaitCondition};
use api_types::container::Inspect;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, FAILURE, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::session::detach::Detach;
use crate::session::ending::Ending;
use crate::session::signals::{self, Signals, Terminal};
use crate::session::{DETACHED, End, Session, Streams};
use crate::ui::{self, Ui};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct AttachArgs {
    detach_keys: String,
    no_stdin: bool,
    sig_proxy: Option<bool>,
}

const FLAGS: &[Flag<AttachArgs>] = &[
    flag!(AttachArgs, detach_keys, "detach-keys", "Keys that detach from the container, \"ctrl-a,x\""),
    flag!(AttachArgs, no_stdin, "no-stdin", "Do not attach standard input"),
    flag!(AttachArgs, sig_proxy, "sig-proxy", "Pass signals on to the container (default true)"),
];

/// `attach`.
pub(crate) struct Attach;

impl Command for Attach {
    type Args = AttachArgs;
    const FLAGS: Tables<AttachArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str = "Attach standard input, output and error to a running container";
    const ARITY: Arity = Arity::Exactly(1);

    async fn run(args: AttachArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let detach_keys = match args.detach_keys.as_str() {
            "" => context.config(ui).detach_keys.clone(),
            keys => keys.to_owned(),
        };
        Detach::parse(&detach_keys).map_err(CommandError::new)?;
        let engine = context.engine(ui)?;
        let container = operands[0].as_str();
        // The wait comes first: an exit between the other calls is not missed.
        let wait = engine.wait_container(container, WaitCondition::NotRunning).await?;
        let found = inspect_running(engine, container).await?;
        let tty = found.config.tty;
        if !args.no_stdin && tty && !ui::stdin_is_terminal() {
            return Err(CommandError::new("the input device is not a TTY"));
        }
        let proxy = args.sig_proxy.unwrap_or(true) && !tty;
        let mut signals = if proxy { Signals::to_pass_on() } else { Signals::that_end() };
        let stdin = !args.no_stdin && found.config.open_stdin;
        let options = AttachOptions { stdin, stdout: true, stderr: true, detach_keys: detach_keys.clone() };
        let hijacked = engine.attach_container(container, &options).await?;
        inspect_running(engine, container).await?;
        if tty && ui::stdout_is_terminal() {
            redraw(engine, container).await;
        }
        let mut session =
            Session::start(hijacked, &Streams { stdin, stdout: true, stderr: true, tty, detach_keys })?;
        tokio::select! {
            end = session.end() => match end? {
                End::Detached => {
                    drop(session);
                    Err(CommandError::new(DETACHED))
                }
                End::Closed => {
                    let ending = Ending::new(engine, container, WaitCondition::NotRunning);
                    ending.streams_ended();
                    let ended = ending.wait(wait).await.map_err(|error| error.with_code(FAILURE))?;
                    drop(session);
                    ended.tell(ui)
                }
            },
            code = signals.handle(engine, proxy.then_some(container)) => Ok(code),
            () = signals::follow_window(engine, tty, Terminal::Container(container)) => Ok(0),
        }
    }
}

/// The container, if it can be attached to.
async fn inspect_running(engine: &Client, container: &str) -> Result<Inspect, CommandError> {
    let found = engine.inspect_container(container).await?;
    let why = match &found.state {
        state if !state.running => "You cannot attach to a stopped container, start it first",
        state if state.paused => "You cannot attach to a paused container, unpause it first",
        state if state.restarting => "You cannot attach to a restarting container, wait until it is running",
        _ => return Ok(found),
    };
    Err(CommandError::new(why))
}

/// A change of size makes a shell draw its prompt again; the true size follows at once.
async fn redraw(engine: &Client, container: &str) {
    let size = ui::terminal_size();
    let _ =
        engine.resize_container(container, size.rows.saturating_add(1), size.columns.saturating_add(1)).await;
}
