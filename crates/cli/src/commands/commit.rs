//! `commit`: makes an image of what a container changed.

use std::io::Write;

use api_client::files::CommitOptions;
use oci::reference::{Reference, ReferenceError};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct CommitArgs {
    author: String,
    change: Vec<String>,
    message: String,
    pause: Option<bool>,
    no_pause: bool,
}

const FLAGS: &[Flag<CommitArgs>] = &[
    flag!(CommitArgs, author, 'a', "author", "Author of the image: \"Ann Lee <ann@example.org>\""),
    flag!(CommitArgs, change, 'c', "change", "Apply a Dockerfile instruction to the image"),
    flag!(CommitArgs, message, 'm', "message", "Comment of the image"),
    flag!(CommitArgs, pause, 'p', "pause", "Pause the container while its files are read (default true)"),
    flag!(CommitArgs, no_pause, "no-pause", "Let the container run while its files are read"),
];

/// `commit`.
pub(crate) struct Commit;

impl Command for Commit {
    type Args = CommitArgs;
    const FLAGS: Tables<CommitArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]";
    const ABOUT: &'static str = "Make an image of a container's changes";
    const ARITY: Arity = Arity::Between(1, 2);

    async fn run(args: CommitArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let (repository, tag) = match operands.get(1).filter(|name| !name.is_empty()) {
            Some(name) => repository_and_tag(name)?,
            None => Default::default(),
        };
        let options = CommitOptions {
            repository,
            tag,
            comment: args.message,
            author: args.author,
            changes: args.change,
            pause: args.pause.unwrap_or(true) && !args.no_pause,
        };
        let id = context.engine(ui)?.commit_container(&operands[0], &options).await?;
        writeln!(ui.stdout(), "{id}")?;
        Ok(0)
    }
}

fn repository_and_tag(name: &str) -> Result<(String, String), CommandError> {
    let reference: Reference =
        name.parse().map_err(|error: ReferenceError| CommandError::new(error.to_string()))?;
    if reference.digest().is_some() {
        return Err(CommandError::new("refusing to create a tag with a digest reference"));
    }
    let reference = reference.with_default_tag();
    Ok((reference.familiar_name(), reference.tag().unwrap_or_default().to_owned()))
}
