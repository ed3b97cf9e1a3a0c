//! `logs`: prints what a container has written.

use std::io;

use api_client::containers::LogsOptions;
use api_client::frames;
use api_client::transport::BodyStream;
use tokio::sync::mpsc;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::download::Pieces;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::time::timestamp;
use crate::ui::Ui;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct LogsArgs {
    details: bool,
    follow: bool,
    since: String,
    tail: Option<String>,
    timestamps: bool,
    until: String,
}

const FLAGS: &[Flag<LogsArgs>] = &[
    flag!(LogsArgs, details, "details", "Show what the log driver was told to add"),
    flag!(LogsArgs, follow, 'f', "follow", "Go on with what is written from now on"),
    flag!(
        LogsArgs,
        since,
        "since",
        "Show what was written since a time, \"2013-01-02T13:23:37Z\" or \"42m\" ago"
    ),
    flag!(LogsArgs, tail, 'n', "tail", "Show so many lines from the end (default \"all\")"),
    flag!(LogsArgs, timestamps, 't', "timestamps", "Put its time before each line"),
    flag!(
        LogsArgs,
        until,
        "until",
        "Show what was written before a time, \"2013-01-02T13:23:37Z\" or \"42m\" ago"
    ),
];

/// `logs`.
pub(crate) struct Logs;

impl Command for Logs {
    type Args = LogsArgs;
    const FLAGS: Tables<LogsArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str = "Show what a container has written";
    const ARITY: Arity = Arity::Exactly(1);

    async fn run(args: LogsArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let engine = context.engine(ui)?;
        let found = engine.inspect_container(&operands[0]).await?;
        let now = jiff::Timestamp::now();
        let time = |name: &str, text: &str| {
            timestamp(text, now)
                .map_err(|why| CommandError::new(format!("invalid value for \"{name}\": {why}")))
        };
        let options = LogsOptions {
            follow: args.follow,
            since: time("since", &args.since)?,
            until: time("until", &args.until)?,
            timestamps: args.timestamps,
            tail: args.tail.unwrap_or_else(|| "all".to_owned()),
            details: args.details,
        };
        let stream = engine.container_logs(&found.id, &options).await?;
        print(stream, found.config.tty).await?;
        Ok(0)
    }
}

/// Prints the stream. A thread writes, so that who does not read our output does not keep us from a signal.
async fn print(mut stream: BodyStream, tty: bool) -> Result<(), CommandError> {
    let (sender, receiver) = mpsc::channel(4);
    let reader = Pieces::new(receiver);
    let writer = tokio::task::spawn_blocking(move || match tty {
        true => io::copy(&mut { reader }, &mut io::stdout().lock()).map(drop),
        false => frames::demultiplex(reader, Some(io::stdout().lock()), Some(io::stderr().lock())),
    });
    while let Some(piece) = stream.next().await? {
        // A writer that has gone tells why below.
        if sender.send(Ok(piece)).await.is_err() {
            break;
        }
    }
    drop(sender);
    match writer.await {
        Ok(written) => Ok(written?),
        Err(panicked) => Err(CommandError::new(panicked.to_string())),
    }
}
