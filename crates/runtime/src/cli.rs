//! The command line: options, commands, exit codes.
//!
//! - [`args`]: options of one command, declared as a table
//! - [`log`]: `--log` and `--log-format`, which callers read errors from
//! - [`store`]: what is kept of a container on disk
//! - [`systemd`]: cgroups that systemd makes
//! - one module per command

mod args;
mod console;
mod create;
mod delete;
mod exec;
mod features;
mod foreground;
mod kill;
mod list;
mod log;
mod resctrl;
mod sealed;
mod spec;
mod store;
mod systemd;
mod time;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use args::{Args, Option as Opt};
use log::Log;
use runtime::StartError;
use store::Store;

const USAGE: &str = "\
Usage: corten-runtime [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]

An OCI runtime: runs one container from a bundle (config.json and a root file system).

Commands:
  create   Set a container up without running its program
  start    Run the program of a created container
  run      Create and start a container
  exec     Run another program in a running container
  state    Print a container's state as JSON
  list     List containers
  kill     Send a signal to a container's first process
  pause    Stop all processes of a container
  resume   Let them run again
  ps       List the processes of a container
  update   Change the limits of a container
  delete   Remove a container that has stopped
  spec     Write an example config.json
  features Print what this runtime supports as JSON

Global options:
  --root DIR           Where state is kept (default /run/corten-runtime)
  --log FILE           Write errors and warnings there too
  --log-format FORMAT  text (default) or json
  --debug              Log each command as well
  --systemd-cgroup     Have systemd make the cgroup
  --version, -v        Print the version
  --help, -h           Print this text

corten-runtime COMMAND --help prints the options of one command.
";

/// What every command may need.
pub(crate) struct Context {
    pub store: Store,
    pub log: Log,
    /// Cgroups of new containers are made by systemd.
    pub systemd: bool,
}

/// How a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub message: String,
    pub code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { message: error.to_string(), code: u8::try_from(error.exit_code()).unwrap_or(1) }
    }
}

/// Names what an error of the system was about.
pub(crate) trait Naming<T> {
    fn naming(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Naming<T> for Result<T, E> {
    fn naming(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format_args!("{}: {error}", what())))
    }
}

type CommandFn = fn(&Context, Args) -> Result<u8, Failure>;

const GLOBAL: &[Opt] = &[
    Opt::value("--root", None, "DIR", ""),
    Opt::value("--log", None, "FILE", ""),
    Opt::value("--log-format", None, "FORMAT", ""),
    Opt::flag("--debug", None, ""),
    Opt::flag("--systemd-cgroup", None, ""),
    Opt::flag("--version", Some("-v"), ""),
    Opt::flag("--help", Some("-h"), ""),
];

/// Runs the command line.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    let mut words = arguments.into_iter();
    let program = words.next().unwrap_or_default();
    match run(&program, words.collect()) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            say(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(program: &OsString, words: Vec<OsString>) -> Result<u8, Failure> {
    let all = words.clone();
    let mut global = Args::parse("", GLOBAL, words, true)?;
    if global.has("--version") {
        return print(&format!(
            "corten-runtime version {}\nspec: {}\n",
            env!("CARGO_PKG_VERSION"),
            oci::runtime::OCI_VERSION
        ));
    }
    if global.rest.is_empty() || global.has("--help") {
        return print(USAGE);
    }
    let name = global.rest.remove(0);
    let name = name.to_string_lossy();
    let Some((_, usage, options, command)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        return Err(Failure::new(format_args!("unknown command {name:?}; see corten-runtime --help")));
    };
    let log = Log::open(global.value("--log"), global.value("--log-format"), global.has("--debug"))?;
    let outcome = (|| {
        let args = Args::parse(&name, options, std::mem::take(&mut global.rest), false)?;
        if args.has("--help") {
            return print(&args::help(&name, usage, options));
        }
        if ["create", "run", "exec"].contains(&&*name) {
            sealed::reexecute(program, &all)?;
        }
        log.debug(&format!("{name} {:?}", args.rest));
        let root = global.value("--root").map_or_else(|| "/run/corten-runtime".into(), PathBuf::from);
        let context =
            Context { store: Store::new(root), log: log.clone(), systemd: global.has("--systemd-cgroup") };
        command(&context, args)
    })();
    outcome.inspect_err(|failure| log.error(&failure.message))
}

/// The table of commands: name, arguments, options, function.
const COMMANDS: &[(&str, &str, &[Opt], CommandFn)] = &[
    ("create", "CONTAINER", create::CREATE_OPTIONS, create::create),
    ("run", "CONTAINER", create::RUN_OPTIONS, create::run),
    ("start", "CONTAINER", &[HELP], create::start),
    ("exec", "CONTAINER [PROGRAM ARGUMENTS...]", exec::OPTIONS, exec::exec),
    ("state", "CONTAINER", &[HELP], list::state),
    ("list", "", list::OPTIONS, list::list),
    ("ps", "CONTAINER [PS OPTIONS...]", list::PS_OPTIONS, list::processes),
    ("kill", "CONTAINER [SIGNAL]", kill::OPTIONS, kill::kill),
    ("pause", "CONTAINER", &[HELP], kill::pause),
    ("resume", "CONTAINER", &[HELP], kill::resume),
    ("update", "CONTAINER", kill::UPDATE_OPTIONS, kill::update),
    ("delete", "CONTAINER", delete::OPTIONS, delete::delete),
    ("spec", "", spec::OPTIONS, spec::spec),
    ("features", "", &[HELP], features::features),
];

/// `--help` of a command.
pub(crate) const HELP: Opt = Opt::flag("--help", Some("-h"), "Print this text");

/// Prints to standard output; a closed pipe is the reader's choice.
pub(crate) fn print(text: &str) -> Result<u8, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format_args!("write output: {error}")))
        }
        _ => Ok(0),
    }
}

/// Says something to whoever is at the terminal.
pub(crate) fn say(message: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "corten-runtime: {message}");
}
