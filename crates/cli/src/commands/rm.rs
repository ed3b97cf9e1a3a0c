//! `rm`: removes containers.

use api_client::containers::RemoveOptions;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;

use super::each::{Done, each};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct RmArgs {
    force: bool,
    link: bool,
    volumes: bool,
}

const FLAGS: &[Flag<RmArgs>] = &[
    flag!(RmArgs, force, 'f', "force", "Kill a running container first"),
    flag!(RmArgs, link, 'l', "link", "Remove the link of that name, not the container"),
    flag!(RmArgs, volumes, 'v', "volumes", "Remove the container's anonymous volumes too"),
];

/// `rm`.
pub(crate) struct Rm;

impl Command for Rm {
    type Args = RmArgs;
    const FLAGS: Tables<RmArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Remove containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: RmArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let engine = context.engine(ui)?;
        let options = RemoveOptions { volumes: args.volumes, link: args.link, force: args.force };
        each(&operands, ui, async |name: String| {
            match engine.remove_container(name.trim_matches('/'), options).await {
                // Gone is what was asked for.
                Err(error) if args.force && error.is_not_found() => Ok(Done::Warned(error.to_string())),
                result => result.map(|()| Done::Told),
            }
        })
        .await
    }
}
