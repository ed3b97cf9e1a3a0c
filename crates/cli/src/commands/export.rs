//! `export`: writes a container's files into an archive.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::download;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::ui::{self, Ui};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct ExportArgs {
    output: String,
}

const FLAGS: &[Flag<ExportArgs>] =
    &[flag!(ExportArgs, output, 'o', "output", "Write to a file, not to standard output")];

/// `export`.
pub(crate) struct Export;

impl Command for Export {
    type Args = ExportArgs;
    const FLAGS: Tables<ExportArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str = "Write a container's files to a tar archive";
    const ARITY: Arity = Arity::Exactly(1);

    async fn run(args: ExportArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        if args.output.is_empty() && ui::stdout_is_terminal() {
            let text = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
            return Err(CommandError::new(text));
        }
        let failed = "failed to export container";
        download::check_output(&args.output, failed)?;
        let mut stream = context.engine(ui)?.export_container(&operands[0]).await?;
        download::write(&mut stream, &args.output, failed, ui).await?;
        Ok(0)
    }
}
