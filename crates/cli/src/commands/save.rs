//! `save`: writes images into an archive.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::download;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::ui::{self, Ui};

use super::pull::platform_json;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct SaveArgs {
    output: String,
    platform: String,
}

const FLAGS: &[Flag<SaveArgs>] = &[
    flag!(SaveArgs, output, 'o', "output", "Write to a file, not to standard output"),
    flag!(SaveArgs, platform, "platform", "Save only this platform, os[/arch[/variant]]"),
];

/// `save`.
pub(crate) struct Save;

impl Command for Save {
    type Args = SaveArgs;
    const FLAGS: Tables<SaveArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ABOUT: &'static str = "Save images to a tar archive on standard output";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: SaveArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        if args.output.is_empty() && ui::stdout_is_terminal() {
            let text = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
            return Err(CommandError::new(text));
        }
        let failed = "failed to save image";
        download::check_output(&args.output, failed)?;
        let platforms = Vec::from_iter(Some(platform_json(&args.platform)?).filter(|text| !text.is_empty()));
        let mut stream = context.engine(ui)?.save_images(&operands, &platforms).await?;
        download::write(&mut stream, &args.output, failed, ui).await?;
        Ok(0)
    }
}
