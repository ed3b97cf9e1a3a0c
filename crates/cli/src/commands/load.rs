//! `load`: takes images out of an archive.

use std::fs::File;
use std::io;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome, path_error};
use crate::flags::{Flag, Tables, flag};
use crate::progress::Screen;
use crate::ui::{self, Ui};
use crate::upload;

use super::pull::platform_json;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct LoadArgs {
    input: String,
    platform: String,
    quiet: bool,
}

const FLAGS: &[Flag<LoadArgs>] = &[
    flag!(LoadArgs, input, 'i', "input", "Read the archive from a file, not from standard input"),
    flag!(LoadArgs, platform, "platform", "Load only this platform, os[/arch[/variant]]"),
    flag!(LoadArgs, quiet, 'q', "quiet", "Do not show the progress"),
];

/// `load`.
pub(crate) struct Load;

impl Command for Load {
    type Args = LoadArgs;
    const FLAGS: Tables<LoadArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Load images from a tar archive or standard input";
    const ARITY: Arity = Arity::None;

    async fn run(args: LoadArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let platforms = Vec::from_iter(Some(platform_json(&args.platform)?).filter(|text| !text.is_empty()));
        let body = match args.input.as_str() {
            "" if ui::stdin_is_terminal() => {
                return Err(CommandError::new("requested load from stdin, but stdin is empty"));
            }
            "" => upload::body(io::stdin()),
            path => {
                let file =
                    File::open(path).map_err(|error| CommandError::new(path_error("open", path, &error)))?;
                upload::body(file)
            }
        };
        let quiet = args.quiet || !ui::stdout_is_terminal();
        let stream = context.engine(ui)?.load_images(quiet, &platforms, body).await?;
        let columns = ui::stdout_is_terminal().then(|| ui::terminal_size().columns);
        Screen::new(ui.stdout(), columns).show(stream).await?;
        Ok(0)
    }
}
