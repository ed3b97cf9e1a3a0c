//! Dockerfile instructions that change an image's configuration: `docker import -c`, `docker commit -c`.
//!
//! - [`apply`]: instructions over a configuration
//! - [`ChangeError`]: why one is refused, in Docker's words
//!
//! Parsing, expansion of variables and effect follow the Dockerfile frontend; only the instructions that need no
//! container are there.

mod duration;
mod error;
mod healthcheck;
mod instruction;
mod lines;
mod ports;
mod words;

use std::collections::BTreeMap;

use oci::image::{Empty, RunConfig};

pub use error::ChangeError;
use instruction::{Instruction, Keyword};
use words::Expander;

/// What the shell form of `CMD` and `ENTRYPOINT` runs in.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies `changes` to `config`, each a line of a Dockerfile.
pub fn apply(mut config: RunConfig, changes: &[String]) -> Result<RunConfig, ChangeError> {
    if changes.is_empty() {
        return Ok(config);
    }
    let lines = lines::logical_lines(&changes.join("\n"));
    if lines.is_empty() {
        return Err(ChangeError::NoInstructions);
    }
    let instructions = lines.iter().map(|line| Instruction::parse(line)).collect::<Result<Vec<_>, _>>()?;
    let mut command_set = false;
    for instruction in instructions {
        apply_one(&mut config, instruction, &mut command_set)?;
    }
    Ok(config)
}

fn apply_one(
    config: &mut RunConfig,
    instruction: Instruction,
    command_set: &mut bool,
) -> Result<(), ChangeError> {
    let Instruction { keyword, arguments, json, flags, original } = instruction;
    let environment = config.env.clone().unwrap_or_default();
    let expander = Expander::new(&environment);
    let expand = |text: &String| expander.word(text);
    match keyword {
        Keyword::Cmd => {
            config.cmd = Some(command(config.shell.as_deref(), arguments, json));
            *command_set = true;
        }
        Keyword::Entrypoint => {
            config.entrypoint =
                (!arguments.is_empty()).then(|| command(config.shell.as_deref(), arguments, json));
            // A command of the image below was meant for its own entry point.
            if !*command_set {
                config.cmd = None;
            }
        }
        Keyword::Env => {
            for pair in arguments.chunks_exact(2) {
                let name = pair_name(&pair[0], &expander, "ENV")?;
                set_variable(config.env.get_or_insert_default(), &name, &expand(&pair[1])?);
            }
        }
        Keyword::Label => {
            for pair in arguments.chunks_exact(2) {
                let name = pair_name(&pair[0], &expander, "LABEL")?;
                config.labels.get_or_insert_default().insert(name, expand(&pair[1])?);
            }
        }
        Keyword::Expose => expose(config, &arguments, &expander)?,
        Keyword::Volume => {
            let paths = arguments.iter().map(expand).collect::<Result<Vec<_>, _>>()?;
            volumes(config.volumes.get_or_insert_default(), &paths)?;
        }
        Keyword::User => config.user = expand(&arguments[0])?,
        Keyword::Workdir => {
            config.working_dir = working_dir(&config.working_dir, &expand(&arguments[0])?)?;
        }
        Keyword::StopSignal => {
            let signal = expand(&arguments[0])?;
            if !is_signal(&signal) {
                return Err(ChangeError::Signal(signal));
            }
            config.stop_signal = Some(signal);
        }
        Keyword::Healthcheck => config.healthcheck = Some(healthcheck::parse(&arguments, json, &flags)?),
        Keyword::OnBuild => config.on_build.get_or_insert_default().push(on_build(&arguments, &original)?),
    }
    Ok(())
}

fn command(shell: Option<&[String]>, arguments: Vec<String>, json: bool) -> Vec<String> {
    if json {
        return arguments;
    }
    let shell = match shell {
        Some(shell) if !shell.is_empty() => shell.to_vec(),
        _ => SHELL.map(str::to_owned).to_vec(),
    };
    shell.into_iter().chain(arguments).collect()
}

fn pair_name(name: &str, expander: &Expander<'_>, keyword: &'static str) -> Result<String, ChangeError> {
    let name = expander.word(name)?;
    if name.is_empty() { Err(ChangeError::BlankName(keyword)) } else { Ok(name) }
}

/// Sets a variable where it stands, or at the end.
fn set_variable(environment: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    let same = |known: &&mut String| known.split_once('=').map_or(known.as_str(), |(name, _)| name) == name;
    match environment.iter_mut().find(same) {
        Some(known) => *known = line,
        None => environment.push(line),
    }
}

fn expose(config: &mut RunConfig, arguments: &[String], expander: &Expander<'_>) -> Result<(), ChangeError> {
    for argument in arguments {
        for word in expander.words(argument)? {
            for port in ports::parse(&word)? {
                config.exposed_ports.get_or_insert_default().insert(port, Empty {});
            }
        }
    }
    Ok(())
}

fn volumes(volumes: &mut BTreeMap<String, Empty>, paths: &[String]) -> Result<(), ChangeError> {
    for path in paths {
        let path = path.trim();
        if path.is_empty() {
            return Err(ChangeError::EmptyVolume);
        }
        volumes.insert(path.to_owned(), Empty {});
    }
    Ok(())
}

/// `path` seen from `current`, without `.` and `..`.
fn working_dir(current: &str, path: &str) -> Result<String, ChangeError> {
    if path.is_empty() {
        return Err(ChangeError::EmptyWorkdir);
    }
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{current}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// A number other than 0, or a name with or without `SIG`.
fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 34] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
        "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
        "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    ];
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |prefix: &str, most: u8| match name.strip_prefix(prefix) {
        Some("") => true,
        Some(offset) => offset[1..].parse::<u8>().is_ok_and(|n| (1..=most).contains(&n)),
        None => false,
    };
    NAMES.contains(&name) || real_time("RTMIN", 15) || real_time("RTMAX", 14)
}

fn on_build(arguments: &[String], original: &str) -> Result<String, ChangeError> {
    let trigger = arguments.first().ok_or(ChangeError::AtLeastOne("ONBUILD"))?;
    match trigger.split_whitespace().next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "ONBUILD" => Err(ChangeError::ChainedOnBuild),
        keyword @ ("MAINTAINER" | "FROM") => Err(ChangeError::Trigger(keyword.to_owned())),
        _ => Ok(original[Keyword::OnBuild.as_str().len()..].trim_start().to_owned()),
    }
}

#[cfg(test)]
mod tests;
