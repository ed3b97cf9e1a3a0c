//! A container's configuration: what the user said, completed from the image.

use std::collections::BTreeMap;

use api_types::config::{Config, Healthcheck};

use crate::error::{EngineError, Result};

/// `PATH` of a container whose image and user name none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Completes `user` with `image`, and checks that something remains to be run.
pub fn merge(user: Config, image: &Config) -> Result<Config> {
    let mut user = complete(user, image);
    if user.labels.is_none() {
        user.labels = Some(BTreeMap::new());
    }
    let runs = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    if !runs(&user.entrypoint) && !runs(&user.cmd) {
        return Err(EngineError::invalid("no command specified"));
    }
    Ok(user)
}

/// Completes `user` with `image`.
pub fn complete(mut user: Config, image: &Config) -> Config {
    if user.user.is_empty() {
        user.user.clone_from(&image.user);
    }
    merge_maps(&mut user.exposed_ports, image.exposed_ports.as_ref());
    merge_maps(&mut user.volumes, image.volumes.as_ref());
    merge_maps(&mut user.labels, image.labels.as_ref());
    user.env = Some(merge_env(user.env.as_deref(), image.env.as_deref())).filter(|env| !env.is_empty());
    user.volumes = user.volumes.filter(|volumes| !volumes.is_empty());
    merge_command(&mut user, image);
    if user.working_dir.is_empty() {
        user.working_dir.clone_from(&image.working_dir);
    }
    if user.stop_signal.is_empty() {
        user.stop_signal.clone_from(&image.stop_signal);
    }
    if user.shell.is_none() {
        user.shell.clone_from(&image.shell);
    }
    user.healthcheck = merge_health(user.healthcheck, image.healthcheck.as_ref());
    user
}

/// Entries of the user win.
fn merge_maps<V: Clone>(user: &mut Option<BTreeMap<String, V>>, image: Option<&BTreeMap<String, V>>) {
    let Some(image) = image.filter(|image| !image.is_empty()) else { return };
    let merged = user.get_or_insert_with(BTreeMap::new);
    for (key, value) in image {
        merged.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// The user's variables in their order, then those of the image that the user did not name.
fn merge_env(user: Option<&[String]>, image: Option<&[String]>) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map_or(entry, |(name, _)| name).to_owned();
    let mut merged: Vec<String> = user.unwrap_or_default().to_vec();
    for entry in image.unwrap_or_default() {
        if !merged.iter().any(|present| name(present) == name(entry)) {
            merged.push(entry.clone());
        }
    }
    merged
}

/// An entrypoint of the user's makes the image's arguments meaningless; `[""]` resets the image's entrypoint.
fn merge_command(user: &mut Config, image: &Config) {
    let given = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    if !given(&user.entrypoint) {
        if !given(&user.cmd) {
            user.cmd.clone_from(&image.cmd);
            user.args_escaped = image.args_escaped;
        }
        if user.entrypoint.is_none() {
            user.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if user.entrypoint.as_deref() == Some(&[String::new()]) {
        user.entrypoint = None;
    }
}

fn merge_health(user: Option<Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let Some(mut user) = user else { return image.cloned() };
    let Some(image) = image else { return Some(user) };
    if user.test.as_ref().is_none_or(Vec::is_empty) {
        user.test.clone_from(&image.test);
    }
    for (mine, theirs) in [
        (&mut user.interval, image.interval),
        (&mut user.timeout, image.timeout),
        (&mut user.start_period, image.start_period),
        (&mut user.start_interval, image.start_interval),
        (&mut user.retries, image.retries),
    ] {
        if *mine == 0 {
            *mine = theirs;
        }
    }
    Some(user)
}

/// The environment of a process: the defaults, then `entries`, later ones replacing earlier ones in place. An entry
/// without `=` takes the variable away.
pub fn environment(defaults: Vec<String>, entries: &[String]) -> Vec<String> {
    let mut env = defaults;
    for entry in entries {
        let (name, removes) = match entry.split_once('=') {
            Some((name, _)) => (name, false),
            None => (entry.as_str(), true),
        };
        let position =
            env.iter().position(|present| present.split_once('=').is_some_and(|(key, _)| key == name));
        match (position, removes) {
            (Some(at), true) => {
                env.remove(at);
            }
            (Some(at), false) => env[at].clone_from(entry),
            (None, true) => {}
            (None, false) => env.push(entry.clone()),
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn commands_merge_as_dockers_do() {
        let image = Config { entrypoint: words(&["/ep"]), cmd: words(&["a"]), ..Config::default() };
        for (entrypoint, cmd, expected) in [
            (None, None, (words(&["/ep"]), words(&["a"]))),
            (None, words(&["b"]), (words(&["/ep"]), words(&["b"]))),
            (words(&["/x"]), None, (words(&["/x"]), None)),
            (words(&["/x"]), words(&["b"]), (words(&["/x"]), words(&["b"]))),
            (words(&[""]), words(&["b"]), (None, words(&["b"]))),
        ] {
            let user = Config { entrypoint, cmd, ..Config::default() };
            let merged = merge(user.clone(), &image).unwrap();
            assert_eq!((merged.entrypoint, merged.cmd), expected, "{user:?}");
        }
    }

    #[test]
    fn nothing_to_run_is_refused() {
        let error = merge(Config::default(), &Config::default()).unwrap_err();
        assert_eq!(error.message(), "no command specified");
    }

    #[test]
    fn the_users_variables_win_and_come_first() {
        let image = Config { env: words(&["A=1", "B=2"]), cmd: words(&["x"]), ..Config::default() };
        let user = Config { env: words(&["B=3", "C"]), ..Config::default() };
        assert_eq!(merge(user, &image).unwrap().env, words(&["B=3", "C", "A=1"]));
    }

    #[test]
    fn a_bare_name_takes_a_variable_away() {
        let env = environment(
            vec!["PATH=/bin".into(), "HOSTNAME=h".into()],
            &["PATH=/x".into(), "HOSTNAME".into()],
        );
        assert_eq!(env, ["PATH=/x"]);
    }
}
