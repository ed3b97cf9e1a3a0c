//! `create`: makes a container and leaves it stopped. What `run` needs of it is here too.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use api_client::Client;
use api_types::container::CreateRequest;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, FAILURE, OWN_FAILURE, Outcome, path_error, suggestion};
use crate::flags::{Order, Tables};
use crate::request;
use crate::request::flags::{CONTAINER_FLAGS, ContainerArgs};
use crate::ui::{self, Ui};

use super::pull;

/// `create`.
pub(crate) struct Create;

impl Command for Create {
    type Args = ContainerArgs;
    const FLAGS: Tables<ContainerArgs> = &[CONTAINER_FLAGS];
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ABOUT: &'static str = "Make a container and leave it stopped";
    const ARITY: Arity = Arity::AtLeast(1);
    const ORDER: Order = Order::FlagsFirst;

    async fn run(args: ContainerArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        refuse_windows(&args)?;
        let help = |error: String| with_help(context.program, &error, "create", OWN_FAILURE);
        let mut body = prepare(&args, &operands, context, ui).map_err(help)?;
        let engine = context.engine(ui)?;
        let id = create_container(engine, &args, &mut body, context, ui).await?;
        writeln!(ui.stdout(), "{id}")?;
        Ok(0)
    }
}

/// A failure of `run` or `create`, with Docker's prefix and hint.
pub(crate) fn with_help(program: &str, error: &str, command: &str, code: u8) -> CommandError {
    let hint = format!("Run '{program} {command} --help' for more information");
    CommandError::new(format!("{program}: {error}\n\n{hint}")).with_code(code)
}

/// The container that the flags describe, with the proxies of the client's settings.
pub(crate) fn prepare(
    args: &ContainerArgs,
    operands: &[String],
    context: &Context,
    ui: &mut Ui,
) -> Result<CreateRequest, String> {
    check_pull(args)?;
    if args.content_trust == Some(false) {
        return Err("content trust is not supported; leave out --disable-content-trust=false".to_owned());
    }
    let mut args = args.clone();
    let host = context.engine(ui).map_err(|error| error.message)?.endpoint().to_string();
    for (name, value) in context.config(ui).proxy_variables(&host) {
        let given = args.env.iter().any(|text| text.split('=').next() == Some(name.as_str()));
        if !given {
            args.env.push(format!("{name}={value}"));
        }
    }
    if args.kernel_memory.is_some() {
        ui.tell(request::KERNEL_MEMORY);
    }
    request::build(&args, operands)
}

/// Refuses the flags that only an engine on Windows has a use for.
pub(crate) fn refuse_windows(args: &ContainerArgs) -> Result<(), CommandError> {
    let given = [
        ("cpu-count", args.cpu_count.is_some()),
        ("cpu-percent", args.cpu_percent.is_some()),
        ("io-maxbandwidth", args.io_maxbandwidth.is_some()),
        ("io-maxiops", args.io_maxiops.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(CommandError::new(format!(
            "\"--{flag}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux"
        ))),
    }
}

fn check_pull(args: &ContainerArgs) -> Result<(), String> {
    match args.pull.as_deref() {
        None | Some("" | "always" | "missing" | "never") => Ok(()),
        Some(other) => Err(format!(
            "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// Creates the container, with a pull before or between when that is asked for; answers its id.
pub(crate) async fn create_container(
    engine: &Client,
    args: &ContainerArgs,
    body: &mut CreateRequest,
    context: &Context,
    ui: &mut Ui,
) -> Result<String, CommandError> {
    let mut cidfile = CidFile::create(&args.cidfile)?;
    let name = pull::parse_reference(&body.config.image)?;
    let platform = pull::chosen_platform(&args.platform);
    if !platform.is_empty() {
        pull::check_platform(&platform)?;
    }
    if args.pull.as_deref() == Some("always") {
        pull::pull_for_container(engine, &body.config.image, args, context, ui).await?;
    }
    let size = ui::terminal_size();
    body.host_config.console_size = [u32::from(size.rows), u32::from(size.columns)];
    let created = match engine.create_container(&args.name, &platform, body).await {
        Err(error) if error.is_not_found() && matches!(args.pull.as_deref(), None | Some("" | "missing")) => {
            let Some(name) = name else { return Err(error.into()) };
            if !args.quiet {
                let near = suggestion(&error.to_string()).to_owned();
                ui.tell(&format!("Unable to find image '{name}' locally{near}"));
            }
            pull::pull_for_container(engine, &body.config.image, args, context, ui).await?;
            engine.create_container(&args.name, &platform, body).await
        }
        created => created,
    }?;
    for warning in &created.warnings {
        ui.tell(&format!("WARNING: {warning}"));
    }
    cidfile.write(&created.id)?;
    Ok(created.id)
}

/// The file of `--cidfile`: reserved before the container is created, removed again if that fails.
struct CidFile {
    file: Option<(PathBuf, File)>,
    written: bool,
}

impl CidFile {
    fn create(path: &str) -> Result<Self, CommandError> {
        if path.is_empty() {
            return Ok(Self { file: None, written: false });
        }
        if std::path::Path::new(path).exists() {
            return Err(CommandError::new(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )));
        }
        let file = File::create(path).map_err(|error| {
            CommandError::new(format!(
                "failed to create the container ID file: {}",
                path_error("open", path, &error)
            ))
        })?;
        Ok(Self { file: Some((PathBuf::from(path), file)), written: false })
    }

    fn write(&mut self, id: &str) -> Result<(), CommandError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        file.write_all(id.as_bytes()).map_err(|error| {
            let why = path_error("write", &path.to_string_lossy(), &error);
            CommandError::new(format!("failed to write the container ID ({id}) to file: {why}"))
                .with_code(FAILURE)
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file
            && !self.written
        {
            let _ = std::fs::remove_file(path);
        }
    }
}
