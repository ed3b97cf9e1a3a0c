//! `import`: makes an image of a file system archive.

use std::fs::File;
use std::io;

use api_client::images::ImportOptions;
use oci::reference::{Reference, ReferenceError};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome, path_error};
use crate::flags::{Flag, Tables, flag};
use crate::progress::Screen;
use crate::ui::{self, Ui};
use crate::upload;

use super::pull::chosen_platform;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct ImportArgs {
    change: Vec<String>,
    message: String,
    platform: String,
}

const FLAGS: &[Flag<ImportArgs>] = &[
    flag!(ImportArgs, change, 'c', "change", "Apply a Dockerfile instruction to the image"),
    flag!(ImportArgs, message, 'm', "message", "Comment of the image"),
    flag!(ImportArgs, platform, "platform", "Platform of the image, os[/arch[/variant]]"),
];

/// `import`.
pub(crate) struct Import;

impl Command for Import {
    type Args = ImportArgs;
    const FLAGS: Tables<ImportArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";
    const ABOUT: &'static str = "Make an image of a tar archive of a file system";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: ImportArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let source = operands[0].as_str();
        let name = operands.get(1).cloned().unwrap_or_default();
        if !name.is_empty() {
            let checked = name.parse::<Reference>();
            checked.map_err(|error: ReferenceError| CommandError::new(error.to_string()))?;
        }
        let is_url = ["http://", "https://"].iter().any(|scheme| source.starts_with(scheme));
        let body = match source {
            "-" => Some(upload::body(io::stdin())),
            _ if is_url => None,
            path => {
                let file =
                    File::open(path).map_err(|error| CommandError::new(path_error("open", path, &error)))?;
                Some(upload::body(file))
            }
        };
        let options = ImportOptions {
            source: if is_url { source.to_owned() } else { "-".to_owned() },
            repository: name,
            tag: String::new(),
            message: args.message,
            changes: args.change,
            platform: chosen_platform(&args.platform),
        };
        let stream = context.engine(ui)?.import_image(&options, body).await?;
        let columns = ui::stdout_is_terminal().then(|| ui::terminal_size().columns);
        Screen::new(ui.stdout(), columns).show(stream).await?;
        Ok(0)
    }
}
