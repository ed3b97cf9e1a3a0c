//! `exec`: runs one more program in a running container.

use std::time::Duration;

use api_client::Client;
use api_types::exec::{ExecCreateRequest, ExecStartRequest};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Order, Tables, flag};
use crate::request::env;
use crate::session::detach::Detach;
use crate::session::signals::{self, Signals, Terminal};
use crate::session::{DETACHED, End, Session, Streams};
use crate::ui::{self, Ui};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct ExecArgs {
    detach: bool,
    detach_keys: String,
    env: Vec<String>,
    env_file: Vec<String>,
    interactive: bool,
    privileged: bool,
    tty: bool,
    user: String,
    workdir: String,
}

const FLAGS: &[Flag<ExecArgs>] = &[
    flag!(ExecArgs, detach, 'd', "detach", "Leave the program running in the background"),
    flag!(ExecArgs, detach_keys, "detach-keys", "Keys that detach from the program, \"ctrl-a,x\""),
    flag!(ExecArgs, env via env::check_variable, 'e', "env", "Set an environment variable; without a value take ours"),
    flag!(ExecArgs, env_file, "env-file", "Read environment variables from a file"),
    flag!(ExecArgs, interactive, 'i', "interactive", "Keep standard input open"),
    flag!(ExecArgs, privileged, "privileged", "Give the program all capabilities"),
    flag!(ExecArgs, tty, 't', "tty", "Allocate a terminal"),
    flag!(ExecArgs, user, 'u', "user", "User, NAME|UID[:GROUP|GID]"),
    flag!(ExecArgs, workdir, 'w', "workdir", "Working directory"),
];

/// `exec`.
pub(crate) struct Exec;

impl Command for Exec {
    type Args = ExecArgs;
    const FLAGS: Tables<ExecArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";
    const ABOUT: &'static str = "Run a command in a running container";
    const ARITY: Arity = Arity::AtLeast(2);
    const ORDER: Order = Order::FlagsFirst;

    async fn run(args: ExecArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let detach_keys = match args.detach_keys.as_str() {
            "" => context.config(ui).detach_keys.clone(),
            keys => keys.to_owned(),
        };
        Detach::parse(&detach_keys).map_err(CommandError::new)?;
        let (container, command) =
            operands.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let body = request(&args, command, detach_keys)?;
        let engine = context.engine(ui)?;
        // A container that does not exist is told before a terminal that is none, and an exec is made only when it
        // will be started.
        if body.attach_stdin && body.tty && !ui::stdin_is_terminal() {
            engine.inspect_container(container).await?;
            return Err(CommandError::new("the input device is not a TTY"));
        }
        let id = engine.create_exec(container, &body).await?;
        if args.detach {
            let start = ExecStartRequest { detach: true, tty: body.tty, console_size: None };
            engine.start_exec_detached(&id, &start).await?;
            return Ok(0);
        }
        run_attached(engine, &id, &body).await
    }
}

fn request(
    args: &ExecArgs,
    command: &[String],
    detach_keys: String,
) -> Result<ExecCreateRequest, CommandError> {
    let variables = env::variables(&args.env_file, &args.env).map_err(CommandError::new)?;
    Ok(ExecCreateRequest {
        user: args.user.clone(),
        privileged: args.privileged,
        tty: args.tty,
        console_size: console_size(args.tty),
        attach_stdin: args.interactive && !args.detach,
        attach_stderr: !args.detach,
        attach_stdout: !args.detach,
        detach: args.detach,
        detach_keys,
        env: (!variables.is_empty()).then_some(variables),
        working_dir: args.workdir.clone(),
        cmd: command.to_vec(),
    })
}

/// The size of our window for a terminal in the container, if there is one.
fn console_size(tty: bool) -> Option<[u32; 2]> {
    let size = ui::terminal_size();
    (tty && size != ui::Size::default()).then(|| [u32::from(size.rows), u32::from(size.columns)])
}

async fn run_attached(engine: &Client, id: &str, body: &ExecCreateRequest) -> Outcome {
    let start = ExecStartRequest { detach: false, tty: body.tty, console_size: body.console_size };
    let mut signals = Signals::that_end();
    let hijacked = engine.start_exec(id, &start).await?;
    let streams = Streams {
        stdin: body.attach_stdin,
        stdout: body.attach_stdout,
        stderr: body.attach_stderr,
        tty: body.tty,
        detach_keys: body.detach_keys.clone(),
    };
    let mut session = Session::start(hijacked, &streams)?;
    tokio::select! {
        end = session.end() => {
            let end = end?;
            drop(session);
            match end {
                End::Detached => Err(CommandError::new(DETACHED)),
                End::Closed => exit_code(engine, id).await,
            }
        }
        code = signals.handle(engine, None) => Ok(code),
        () = signals::follow_window(engine, body.tty, Terminal::Exec(id)) => Ok(0),
    }
}

async fn exit_code(engine: &Client, id: &str) -> Outcome {
    // The program's streams outlive a daemon that dies: the next one knows how it ended.
    let mut patience = 100;
    loop {
        match engine.inspect_exec(id).await {
            // An exit code is what is left of it in eight bits.
            Ok(found) => return Ok(u8::try_from(found.exit_code.unwrap_or(0) & 0xff).unwrap_or(u8::MAX)),
            Err(error) if error.is_unreachable() && patience > 0 => {
                patience -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // What became of it is not known.
            Err(error) if error.is_unreachable() => return Ok(u8::MAX),
            Err(error) => return Err(error.into()),
        }
    }
}
