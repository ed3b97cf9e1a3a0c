//! From `argv` to a command.
//!
//! The table of commands is constant and looked through once; a command's flags are read by the command alone. So a
//! process pays for its own command and not for the tree.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use oci::nearest::{did_you_mean, nearest};

use crate::autostart;
use crate::command::{self, Command, Invocation};
use crate::commands;
use crate::context::{Context, GLOBAL_FLAGS, Globals};
use crate::error::{CommandError, FAILURE, OWN_FAILURE};
use crate::flags::{self, Order, Parsed, Tables, help};
use crate::ui::{self, Ui};

/// A command and where it stands in the tree.
struct Entry {
    /// Name at the top: `ps`.
    top: Option<&'static str>,
    /// Group and the names in it, the usual one first: `container`, `ls list ps`.
    group: Option<(&'static str, &'static [&'static str])>,
    about: &'static str,
    execute: fn(&Invocation, &[String], &Context, &mut Ui) -> u8,
    help: fn(&Invocation, usize) -> String,
}

const fn entry<C: Command>(
    top: Option<&'static str>,
    group: Option<(&'static str, &'static [&'static str])>,
) -> Entry {
    Entry { top, group, about: C::ABOUT, execute: command::execute::<C>, help: command::help_text::<C> }
}

/// Every command.
const COMMANDS: &[Entry] = &[
    entry::<commands::run::Run>(Some("run"), Some(("container", &["run"]))),
    entry::<commands::create::Create>(Some("create"), Some(("container", &["create"]))),
    entry::<commands::start::Start>(Some("start"), Some(("container", &["start"]))),
    entry::<commands::exec::Exec>(Some("exec"), Some(("container", &["exec"]))),
    entry::<commands::ps::Ps>(Some("ps"), Some(("container", &["ls", "list", "ps"]))),
    entry::<commands::stop::Stop>(Some("stop"), Some(("container", &["stop"]))),
    entry::<commands::stats::Stats>(Some("stats"), Some(("container", &["stats"]))),
    entry::<commands::events::Events>(Some("events"), Some(("system", &["events"]))),
    entry::<commands::stop::Restart>(Some("restart"), Some(("container", &["restart"]))),
    entry::<commands::pause::Pause>(Some("pause"), Some(("container", &["pause"]))),
    entry::<commands::unpause::Unpause>(Some("unpause"), Some(("container", &["unpause"]))),
    entry::<commands::rename::Rename>(Some("rename"), Some(("container", &["rename"]))),
    entry::<commands::top::Top>(Some("top"), Some(("container", &["top"]))),
    entry::<commands::port::Port>(Some("port"), Some(("container", &["port"]))),
    entry::<commands::update::Update>(Some("update"), Some(("container", &["update"]))),
    entry::<commands::kill::Kill>(Some("kill"), Some(("container", &["kill"]))),
    entry::<commands::rm::Rm>(Some("rm"), Some(("container", &["rm", "remove"]))),
    entry::<commands::wait::Wait>(Some("wait"), Some(("container", &["wait"]))),
    entry::<commands::logs::Logs>(Some("logs"), Some(("container", &["logs"]))),
    entry::<commands::attach::Attach>(Some("attach"), Some(("container", &["attach"]))),
    entry::<commands::cp::Cp>(Some("cp"), Some(("container", &["cp"]))),
    entry::<commands::commit::Commit>(Some("commit"), Some(("container", &["commit"]))),
    entry::<commands::diff::Diff>(Some("diff"), Some(("container", &["diff"]))),
    entry::<commands::export::Export>(Some("export"), Some(("container", &["export"]))),
    entry::<commands::inspect::Inspect>(Some("inspect"), None),
    entry::<commands::inspect::ContainerInspect>(None, Some(("container", &["inspect"]))),
    entry::<commands::inspect::ImageInspect>(None, Some(("image", &["inspect"]))),
    entry::<commands::images::Images>(Some("images"), Some(("image", &["ls", "list"]))),
    entry::<commands::import::Import>(Some("import"), Some(("image", &["import"]))),
    entry::<commands::load::Load>(Some("load"), Some(("image", &["load"]))),
    entry::<commands::save::Save>(Some("save"), Some(("image", &["save"]))),
    entry::<commands::tag::Tag>(Some("tag"), Some(("image", &["tag"]))),
    entry::<commands::rmi::Rmi>(Some("rmi"), Some(("image", &["rm", "remove"]))),
    entry::<commands::history::History>(Some("history"), Some(("image", &["history"]))),
    entry::<commands::pull::Pull>(Some("pull"), Some(("image", &["pull"]))),
    entry::<commands::prune::ContainerPrune>(None, Some(("container", &["prune"]))),
    entry::<commands::prune::ImagePrune>(None, Some(("image", &["prune"]))),
    entry::<commands::prune::SystemPrune>(None, Some(("system", &["prune"]))),
    entry::<commands::df::Df>(None, Some(("system", &["df"]))),
    entry::<commands::version::Version>(Some("version"), None),
    entry::<commands::info::Info>(Some("info"), Some(("system", &["info"]))),
];

/// The groups, and what each is for.
const GROUPS: &[(&str, &str)] =
    &[("container", "Manage containers"), ("image", "Manage images"), ("system", "Manage the engine")];

/// Shown first in the help.
const COMMON: [&str; 7] = ["run", "exec", "ps", "pull", "images", "version", "info"];

const GLOBAL_TABLES: Tables<Globals> = &[GLOBAL_FLAGS];

/// Runs the command line `args`, of which the first is the program's name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = args.map(|word| word.to_string_lossy().into_owned()).collect();
    let (program, words) =
        words.split_first().map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    let program = match program.rsplit('/').next() {
        Some("docker") => "docker",
        _ => "corten",
    };
    let mut ui = Ui::stdio();
    if words == [autostart::LAUNCHER] {
        ui.tell(&autostart::launch());
        return ExitCode::from(FAILURE);
    }
    let code = dispatch(program, words, &mut ui);
    // What could not be written has been told or is of no interest to anyone.
    let _ = ui.flush();
    ExitCode::from(code)
}

fn dispatch(program: &'static str, words: &[String], ui: &mut Ui) -> u8 {
    let mut globals = Globals::default();
    let parsed = flags::parse(GLOBAL_TABLES, words, Order::FlagsFirst, &mut globals);
    let version = globals.version;
    let context = Context::new(program, globals);
    let rest = match parsed {
        Ok(Parsed::Operands(rest)) => rest,
        Ok(Parsed::Help { short }) => return print_help(&root_help(program), short, ui),
        Err(why) => {
            let usage = format!("Usage:  {program} [OPTIONS] COMMAND [ARG...]");
            ui.tell(&format!("{why}\n\n{usage}\n\nRun '{program} --help' for more information"));
            return OWN_FAILURE;
        }
    };
    if let Err(error) = context.validate() {
        return command::finish(Err(error), ui);
    }
    if version {
        let line = format!("{} version {}", title(program), env!("CARGO_PKG_VERSION"));
        return command::finish(writeln!(ui.stdout(), "{line}").map(|()| 0).map_err(CommandError::from), ui);
    }
    let Some((word, after)) = rest.split_first() else {
        ui.tell(root_help(program).trim_end());
        return 0;
    };
    if word == "help" {
        return help_command(program, after, ui);
    }
    if let Some(entry) = COMMANDS.iter().find(|entry| entry.top == Some(word.as_str())) {
        return (entry.execute)(&invocation(program, entry, word.clone()), after, &context, ui);
    }
    match GROUPS.iter().find(|(name, _)| name == word) {
        Some((group, about)) => dispatch_group(group, about, after, &context, ui),
        None => {
            let known =
                COMMANDS.iter().filter_map(|entry| entry.top).chain(GROUPS.iter().map(|(name, _)| *name));
            let near = did_you_mean(nearest(word, known));
            let line = format!("{program}: unknown command: {program} {word}{near}");
            ui.tell(&format!("{line}\n\nRun '{program} --help' for more information"));
            FAILURE
        }
    }
}

fn dispatch_group(group: &str, about: &str, words: &[String], context: &Context, ui: &mut Ui) -> u8 {
    let program = context.program;
    let Some((word, after)) = words.split_first() else {
        ui.tell(group_help(program, group, about).trim_end());
        return 0;
    };
    if let Some(entry) = member(group, word) {
        let path = format!("{group} {}", entry.group.map_or(word.as_str(), |(_, names)| names[0]));
        return (entry.execute)(&invocation(program, entry, path), after, context, ui);
    }
    let usage = format!("Usage:  {program} {group}\n\nRun '{program} {group} --help' for more information");
    let asks = |words: &[String]| words.iter().any(|word| word == "--help");
    match word.as_str() {
        "-h" => print_help(&group_help(program, group, about), true, ui),
        _ if asks(words) => print_help(&group_help(program, group, about), false, ui),
        flag if flag.starts_with("--") => {
            ui.tell(&format!("unknown flag: {flag}\n\n{usage}"));
            OWN_FAILURE
        }
        flag if flag.starts_with('-') && flag.len() > 1 => {
            let letter = flag.chars().nth(1).unwrap_or_default();
            ui.tell(&format!("unknown shorthand flag: '{letter}' in {flag}\n\n{usage}"));
            OWN_FAILURE
        }
        word => {
            let members = COMMANDS.iter().filter_map(|entry| entry.group.filter(|(name, _)| *name == group));
            let known = members.flat_map(|(_, names)| names.iter().copied());
            let near = did_you_mean(nearest(word, known));
            ui.tell(&format!("{program}: unknown command: {program} {group} {word}{near}\n\n{usage}"));
            FAILURE
        }
    }
}

fn member(group: &str, word: &str) -> Option<&'static Entry> {
    COMMANDS
        .iter()
        .find(|entry| entry.group.is_some_and(|(name, names)| name == group && names.contains(&word)))
}

fn invocation(program: &'static str, entry: &Entry, path: String) -> Invocation {
    let mut aliases: Vec<String> = Vec::new();
    if let Some((group, names)) = entry.group {
        aliases.extend(names.iter().map(|name| format!("{group} {name}")));
    }
    aliases.extend(entry.top.map(str::to_owned));
    Invocation { program, path, aliases }
}

fn help_command(program: &'static str, words: &[String], ui: &mut Ui) -> u8 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let found = match words[..] {
        [] => return print_help(&root_help(program), false, ui),
        [word] => COMMANDS.iter().find(|entry| entry.top == Some(word)).map(|entry| (entry, word.to_owned())),
        [group, word, ..] => member(group, word).map(|entry| (entry, format!("{group} {word}"))),
    };
    if let Some((entry, path)) = found {
        return print_help(&(entry.help)(&invocation(program, entry, path), ui::text_width()), false, ui);
    }
    match GROUPS.iter().find(|(name, _)| *name == words[0]) {
        Some((group, about)) if words.len() == 1 => print_help(&group_help(program, group, about), false, ui),
        _ => {
            ui.tell(&format!("unknown help topic: {}", words.join(" ")));
            FAILURE
        }
    }
}

fn print_help(text: &str, deprecated: bool, ui: &mut Ui) -> u8 {
    let line = if deprecated { "Flag shorthand -h has been deprecated, use --help\n" } else { "" };
    command::finish(write!(ui.stdout(), "{line}{text}").map(|()| 0).map_err(CommandError::from), ui)
}

fn title(program: &str) -> &'static str {
    if program == "docker" { "Docker" } else { "Corten" }
}

fn list(rows: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let mut rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(11);
    rows.dedup();
    rows.iter()
        .map(|(name, about)| format!("  {name:width$} {}\n", about.lines().next().unwrap_or_default()))
        .collect()
}

fn group_help(program: &str, group: &str, about: &str) -> String {
    let mut rows: Vec<(&str, &str)> = COMMANDS
        .iter()
        .filter_map(|entry| {
            entry.group.filter(|(name, _)| *name == group).map(|(_, names)| (names[0], entry.about))
        })
        .collect();
    rows.sort_unstable();
    format!(
        "Usage:  {program} {group} COMMAND\n\n{about}\n\nCommands:\n{}\nRun '{program} {group} COMMAND --help' for more information on a command.\n",
        list(rows.into_iter())
    )
}

fn root_help(program: &str) -> String {
    let tops = || COMMANDS.iter().filter_map(|entry| entry.top.map(|name| (name, entry.about)));
    let common = COMMON.iter().filter_map(|name| tops().find(|(top, _)| top == name));
    let mut others: Vec<(&str, &str)> = tops().filter(|(name, _)| !COMMON.contains(name)).collect();
    others.sort_unstable();
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nRun and manage containers\n\nCommon Commands:\n{}\n\
         Management Commands:\n{}\nCommands:\n{}\nGlobal Options:\n{}\n\
         Run '{program} COMMAND --help' for more information on a command.\n",
        list(common),
        list(GROUPS.iter().copied()),
        list(others.into_iter()),
        help::flags(GLOBAL_TABLES, ui::text_width()),
    )
}
