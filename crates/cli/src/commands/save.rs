//! `save`: writes images into an archive.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use api_client::transport::BodyStream;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome, go_error, path_error};
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
        check_output(&args.output)?;
        let platforms = Vec::from_iter(Some(platform_json(&args.platform)?).filter(|text| !text.is_empty()));
        let mut stream = context.engine(ui)?.save_images(&operands, &platforms).await?;
        if args.output.is_empty() {
            copy(&mut stream, ui.stdout()).await?;
        } else {
            write_file(&mut stream, Path::new(&args.output)).await?;
        }
        Ok(0)
    }
}

/// Refuses a path that cannot become a file before the engine starts to work.
fn check_output(path: &str) -> Result<(), CommandError> {
    if path.is_empty() {
        return Ok(());
    }
    let fail = |why: String| Err(CommandError::new(format!("failed to save image: {why}")));
    let parent = match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Err(error) = std::fs::metadata(parent) {
        let parent = parent.to_string_lossy();
        return fail(format!("invalid output path: {}", path_error("stat", &parent, &error)));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => fail(format!("invalid output path: {path} must be a regular file")),
        _ => Ok(()),
    }
}

async fn copy(stream: &mut BodyStream, out: &mut impl Write) -> Result<(), CommandError> {
    while let Some(bytes) = stream.next().await? {
        out.write_all(&bytes)?;
    }
    out.flush()?;
    Ok(())
}

/// Writes beside the file and renames, so that a broken transfer leaves no half an archive under its name.
async fn write_file(stream: &mut BodyStream, path: &Path) -> Result<(), CommandError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = Temporary(path.with_file_name(name));
    let fail = |error: std::io::Error| {
        CommandError::new(format!("failed to save image: {}: {}", path.display(), go_error(&error)))
    };
    let mut file = File::create_new(&temporary.0).map_err(fail)?;
    while let Some(bytes) = stream.next().await? {
        file.write_all(&bytes).map_err(fail)?;
    }
    std::fs::rename(&temporary.0, path).map_err(fail)?;
    Ok(())
}

/// Removed when dropped, unless it has been renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
