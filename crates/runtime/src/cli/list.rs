//! `state`, `list`, `ps`.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::args::{Args, Option as Opt};
use super::store::Container;
use super::{Context, Failure, HELP, Naming, print};

/// Options of `list`.
pub(crate) const OPTIONS: &[Opt] = &[
    Opt::value("--format", Some("-f"), "FORMAT", "table (default) or json"),
    Opt::flag("--quiet", Some("-q"), "Print ids only"),
    HELP,
];

/// Options of `ps`.
pub(crate) const PS_OPTIONS: &[Opt] =
    &[Opt::value("--format", Some("-f"), "FORMAT", "table (default) or json: pids only"), HELP];

/// A container as `state` and `list` print it: the specification's state, and what runc adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    oci_version: String,
    id: String,
    pid: i32,
    status: String,
    bundle: std::path::PathBuf,
    rootfs: std::path::PathBuf,
    created: String,
    owner: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Listed {
    fn of(container: &Container) -> Result<Self, Failure> {
        let state = container.state()?;
        let owner = std::fs::metadata(&container.directory).map_or(0, |directory| directory.uid());
        let mut status = state.status;
        if status == "running" && container.cgroup().is_some_and(|cgroup| is_frozen(&cgroup)) {
            "paused".clone_into(&mut status);
        }
        Ok(Self {
            oci_version: state.oci_version,
            id: state.id,
            pid: state.pid.unwrap_or(0),
            status,
            bundle: state.bundle,
            rootfs: container.record.rootfs.clone(),
            created: container.record.created.clone(),
            owner: if owner == 0 { "root".to_owned() } else { owner.to_string() },
            annotations: state.annotations,
        })
    }
}

/// Whether a cgroup is frozen, on either version.
pub(crate) fn is_frozen(cgroup: &runtime::cgroup::Cgroup) -> bool {
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let path = cgroup.path();
    read(format!("/sys/fs/cgroup/freezer{path}/freezer.state")).trim() == "FROZEN"
        || read(format!("/sys/fs/cgroup{path}/cgroup.freeze")).trim() == "1"
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).naming(|| "write JSON".to_owned())?;
    Ok(text + "\n")
}

/// `state`: one container as JSON.
pub(crate) fn state(context: &Context, args: Args) -> Result<u8, Failure> {
    let id = args.container(0)?;
    print(&json(&Listed::of(&context.store.container(&id)?)?)?)
}

fn wants_json(args: &Args) -> Result<bool, Failure> {
    match args.text("--format")?.as_deref() {
        None | Some("table") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(Failure::new(format_args!("--format: {other:?} is neither table nor json"))),
    }
}

/// `list`: all containers.
pub(crate) fn list(context: &Context, args: Args) -> Result<u8, Failure> {
    if let Some(extra) = args.rest.first() {
        return Err(Failure::new(format_args!("too many arguments: {}", extra.display())));
    }
    let containers = context.store.containers()?;
    // One that was deleted since it was listed is not there any more.
    let listed: Vec<_> = containers.iter().filter_map(|container| Listed::of(container).ok()).collect();
    if args.has("--quiet") {
        return print(&listed.iter().map(|one| format!("{}\n", one.id)).collect::<String>());
    }
    if wants_json(&args)? {
        return print(&json(&listed)?);
    }
    let width = listed.iter().map(|one| one.id.len()).max().unwrap_or(0).max(2);
    let mut text = format!("{:<width$}  {:<8}  {:<8}  {:<30}  BUNDLE\n", "ID", "PID", "STATUS", "CREATED");
    for one in &listed {
        let bundle = one.bundle.display();
        let _ = writeln!(
            text,
            "{:<width$}  {:<8}  {:<8}  {:<30}  {bundle}",
            one.id, one.pid, one.status, one.created
        );
    }
    print(&text)
}

/// `ps`: the processes of a container, by the host's `ps`.
pub(crate) fn processes(context: &Context, args: Args) -> Result<u8, Failure> {
    let id = args.container(usize::MAX - 1)?;
    let container = context.store.container(&id)?;
    let cgroup =
        container.cgroup().ok_or_else(|| Failure::new(format_args!("container {id} has no cgroup")))?;
    let pids = cgroup.pids().naming(|| format!("list the processes of container {id}"))?;
    if wants_json(&args)? {
        return print(&json(&pids)?);
    }
    let mut words = args.rest[1..].to_vec();
    if words.is_empty() {
        words.push("-ef".into());
    }
    let output = std::process::Command::new("ps").args(&words).output().naming(|| "run ps".to_owned())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format_args!("ps: {}", text.trim_end())));
    }
    let table = String::from_utf8_lossy(&output.stdout);
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Failure::new("ps: its output has no PID column"))?;
    let mut text = format!("{head}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse::<i32>().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            let _ = writeln!(text, "{line}");
        }
    }
    print(&text)
}
