//! Arguments and answers of [`crate::Engine`] that are not API JSON.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use api_types::config::Config;
pub use api_types::host_config::Ulimit;
use oci::reference::Reference;
use shim::protocol::Framing;

use crate::security::SeccompChoice;

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Persistent data, 0700.
    pub data_root: PathBuf,
    /// Runtime data, 0700, gone at boot.
    pub exec_root: PathBuf,
    /// The `corten-shim` binary.
    pub shim: PathBuf,
    /// Log options of containers that name none (`max-size`, `max-file`).
    pub log_options: BTreeMap<String, String>,
    /// Task limit of containers that name none; none: unlimited.
    pub pids_limit: Option<i64>,
    /// Containers that say nothing of it get an init process.
    pub init: bool,
    /// Resource limits of containers that do not set these themselves.
    pub default_ulimits: Vec<Ulimit>,
    /// What else containers get that do not set it themselves.
    pub defaults: ContainerDefaults,
    /// Seconds between the stop signal and SIGKILL, when the container names none.
    pub stop_timeout: u64,
    /// Largest unpacked layer in bytes; none: bounded by free space alone.
    pub max_layer_size: Option<u64>,
    /// Cgroup of this engine, below each hierarchy's mount point; none: `/corten-<8 hex of data_root>`.
    pub cgroup_root: Option<String>,
    /// Shims that wait for containers, each with a network namespace made in advance.
    pub ready_shims: usize,
}

/// Filters of a list: name → accepted values, as in `{"label": ["a=b"]}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

/// What containers get that do not set it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDefaults {
    /// Bytes of `/dev/shm`.
    pub shm_size: i64,
    /// Programs gain no privileges by running others.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: SeccompChoice,
}

impl Default for ContainerDefaults {
    fn default() -> Self {
        Self { shm_size: 64 * 1024 * 1024, no_new_privileges: false, seccomp: SeccompChoice::Builtin }
    }
}

/// A label that is asked for: its name, and its value if that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter(pub String, pub Option<String>);

impl LabelFilter {
    /// Reads `name` or `name=value`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self(name.to_owned(), Some(value.to_owned())),
            None => Self(text.to_owned(), None),
        }
    }

    /// Whether these labels have it.
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let found = labels.and_then(|labels| labels.get(&self.0));
        found.is_some_and(|found| self.1.as_ref().is_none_or(|value| value == found))
    }
}

/// What pruning is confined to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Only what is not younger, Unix seconds.
    pub until: Option<i64>,
    /// Only what has all these labels.
    pub with: Vec<LabelFilter>,
    /// Only what has none of these. Docker spares only what has all of them, which removes what people meant to keep.
    pub without: Vec<LabelFilter>,
}

impl PruneFilter {
    /// Whether something of these labels, made at this time in Unix seconds, is to go.
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>, created: i64) -> bool {
        self.until.is_none_or(|until| created <= until)
            && self.with.iter().all(|label| label.matches(labels))
            && !self.without.iter().any(|label| label.matches(labels))
    }
}

/// Query of `GET /containers/json`.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Not only running ones.
    pub all: bool,
    /// The newest n, whatever their state.
    pub limit: Option<usize>,
    /// Compute sizes.
    pub size: bool,
    /// Filters; names are checked by the engine.
    pub filters: Filters,
}

/// How often something is told of what a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StatsMode {
    /// Every second, the first message at once.
    #[default]
    Stream,
    /// One message after a second, with what was used before and after it.
    Pair,
    /// One message at once.
    Once,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// Not running (at once when it is not).
    #[default]
    NotRunning,
    /// The next time it ends.
    NextExit,
    /// Removed.
    Removed,
}

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Anonymous volumes go too.
    pub volumes: bool,
    /// Remove a link instead.
    pub link: bool,
}

/// What an attaching client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachParams {
    /// Replay the log first.
    pub logs: bool,
    /// Stay for what comes.
    pub stream: bool,
    /// Forward input.
    pub stdin: bool,
    /// Send standard output.
    pub stdout: bool,
    /// Send standard error.
    pub stderr: bool,
    /// Detach keys in Docker's notation (`ctrl-p,ctrl-q`); none: the default ones.
    pub detach_keys: Option<String>,
}

/// A client's raw stream, ready to be handed to a shim.
#[derive(Debug)]
pub struct ClientStream {
    /// The socket (or one end of a socket pair that the API relays), blocking or not.
    pub socket: OwnedFd,
    /// Bytes read from it after the request's head.
    pub early_input: Vec<u8>,
}

/// What the API needs to know to answer an attach or exec start, before the stream is handed over.
#[derive(Debug, Clone)]
pub struct StreamTicket {
    /// The container's id.
    pub container: String,
    /// The exec's id, for exec.
    pub exec: Option<String>,
    /// Output is raw (a terminal) or framed.
    pub framing: Framing,
}

/// Query of `GET /containers/{id}/logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogsQuery {
    /// Stay for what comes.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Not older, Unix nanoseconds.
    pub since: Option<i64>,
    /// Not newer, Unix nanoseconds.
    pub until: Option<i64>,
    /// Prefix each line with its time.
    pub timestamps: bool,
    /// Prefix each line with its attributes.
    pub details: bool,
    /// The last n lines; none: all.
    pub tail: Option<u64>,
}

/// Which stream a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a log, formatted as the query asks (time and attributes in front), newline included where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it came from.
    pub stream: LogStream,
    /// Bytes for the client.
    pub line: Vec<u8>,
}

/// Query of `GET /events`.
#[derive(Debug, Clone, Default)]
pub struct EventsQuery {
    /// Replay from here, Unix nanoseconds.
    pub since: Option<i64>,
    /// Stop here, Unix nanoseconds.
    pub until: Option<i64>,
    /// Filters; names are checked by the engine.
    pub filters: Filters,
}

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Mode as Go's `os.FileMode` has it.
    pub mode: u32,
    /// Last change, Unix nanoseconds.
    pub modified: i64,
    /// Where a link leads in the end; empty for anything else.
    pub link_target: String,
}

/// How an archive is extracted into a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// A directory does not replace a file, and a file no directory.
    pub keep_kinds: bool,
    /// Files get the container's own user, if it has one.
    pub copy_owner: bool,
}

/// How a container becomes an image.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// Name of the image.
    pub reference: Option<Reference>,
    /// Configuration that is completed from the container's; none: the container's own.
    pub config: Option<Config>,
    /// Dockerfile instructions that change it.
    pub changes: Vec<String>,
    /// Who commits.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Pause the container while its files are read.
    pub pause: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_spares_what_has_any_label_that_was_excluded() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let filter = |with: &[&str], without: &[&str], until| PruneFilter {
            until,
            with: with.iter().map(|text| LabelFilter::parse(text)).collect(),
            without: without.iter().map(|text| LabelFilter::parse(text)).collect(),
        };
        for (filter, goes) in [
            (filter(&[], &[], None), true),
            (filter(&["a", "b"], &[], None), true),
            (filter(&["a=1"], &[], None), true),
            (filter(&["a=2"], &[], None), false),
            (filter(&["a", "c"], &[], None), false),
            (filter(&[], &["c"], None), true),
            (filter(&[], &["c", "b"], None), false),
            (filter(&[], &["a=2"], None), true),
            (filter(&["a"], &["b"], None), false),
            (filter(&[], &[], Some(100)), true),
            (filter(&[], &[], Some(99)), false),
        ] {
            assert_eq!(filter.matches(Some(&labels), 100), goes, "{filter:?}");
        }
        assert!(!filter(&["a"], &[], None).matches(None, 0));
        assert!(filter(&[], &["a"], None).matches(None, 0));
    }
}
