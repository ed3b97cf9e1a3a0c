//! One container as `inspect` shows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_types::container::{GraphDriver, Inspect, State as ApiState};
use api_types::network::{EndpointSettings, NetworkSettings};

use crate::error::Result;
use crate::health::Health;
use crate::modes::{self, NetworkMode};
use crate::mounts::mount_points;
use crate::record::Record;
use crate::shared::Shared;
use crate::state::State;
use crate::time::rfc3339;

/// Everything about a container. With `size`, walks its writable layer, so it blocks.
pub(crate) fn inspect(shared: &Shared, record: &Record, size: bool) -> Result<Inspect> {
    let dir = shared.layout.container(&record.id);
    let (path, args) = record.command();
    let (size_rw, size_root_fs) = if size { sizes(shared, record) } else { (None, None) };
    // Docker writes these files at the first start, and names none before.
    let started = !matches!(record.state, State::Created { failure: None });
    let file = |path: PathBuf| if started { path.display().to_string() } else { String::new() };
    let logs_to_file = record.host_config.log_config.kind == "json-file";
    Ok(Inspect {
        id: record.id.clone(),
        created: rfc3339(Some(record.created)),
        path,
        args,
        state: state(record),
        image: record.image_id.clone(),
        resolv_conf_path: file(dir.resolv_conf()),
        hostname_path: file(dir.hostname()),
        hosts_path: file(dir.hosts()),
        log_path: if logs_to_file { file(dir.log()) } else { String::new() },
        name: format!("/{}", record.name),
        restart_count: record.restart_count,
        driver: "overlay2".into(),
        platform: "linux".into(),
        exec_ids: shared.execs.running(&record.id),
        host_config: record.host_config.clone(),
        graph_driver: graph_driver(shared, record)?,
        size_rw,
        size_root_fs,
        mounts: mount_points(&record.mounts),
        config: record.config.clone(),
        network_settings: network_settings(record),
        ..Inspect::default()
    })
}

fn state(record: &Record) -> ApiState {
    let state = &record.state;
    let run = state.run();
    ApiState {
        status: state.status().into(),
        running: run.is_some() || matches!(state, State::Restarting(_)),
        paused: matches!(state, State::Paused(_)),
        restarting: matches!(state, State::Restarting(_)),
        oom_killed: matches!(state, State::Exited(ended) | State::Restarting(ended) if ended.oom_killed),
        dead: false,
        pid: run.map_or(0, |run| run.pid),
        exit_code: state.exit_code(),
        error: state.error().to_owned(),
        started_at: rfc3339(state.started_at()),
        finished_at: rfc3339(state.finished_at()),
        health: record.health.as_ref().map(Health::inspected),
    }
}

/// Bytes of the writable layer, and of everything.
pub(crate) fn sizes(shared: &Shared, record: &Record) -> (Option<i64>, Option<i64>) {
    let upper = shared.layout.container(&record.id).upper();
    let own = snapshots::upper::size(&upper).unwrap_or(0);
    let image = shared.image_of(record).map_or(0, |image| image.size());
    let signed = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    (signed(own), signed(own + image))
}

/// Real paths; the merged tree is attached nowhere on the host, so it is shown through the first process.
fn graph_driver(shared: &Shared, record: &Record) -> Result<GraphDriver> {
    let dir = shared.layout.container(&record.id);
    let lower: Vec<String> =
        shared.layer_paths(record)?.iter().map(|path| path.display().to_string()).collect();
    let merged = record.state.run().map_or_else(String::new, |run| format!("/proc/{}/root", run.pid));
    let data = [
        ("ID", record.id.clone()),
        ("LowerDir", lower.join(":")),
        ("MergedDir", merged),
        ("UpperDir", dir.upper().display().to_string()),
        ("WorkDir", dir.work().display().to_string()),
    ];
    Ok(GraphDriver {
        data: Some(data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        name: "overlay2".into(),
    })
}

/// Name of the network that `ps` shows: `none`, `host`, or `default` while there is no bridge.
pub(crate) fn networks(record: &Record) -> BTreeMap<String, EndpointSettings> {
    let name = match modes::network(&record.host_config.network_mode) {
        Ok(NetworkMode::None) => "none",
        Ok(NetworkMode::Host) => "host",
        Ok(NetworkMode::Default) => "default",
        Ok(NetworkMode::Container(_)) | Err(_) => return BTreeMap::new(),
    };
    BTreeMap::from([(name.to_owned(), EndpointSettings::default())])
}

fn network_settings(record: &Record) -> NetworkSettings {
    NetworkSettings {
        sandbox_id: if record.state.run().is_some() { record.id.clone() } else { String::new() },
        sandbox_key: record.state.run().map_or_else(String::new, |run| format!("/proc/{}/ns/net", run.pid)),
        networks: networks(record),
        ..NetworkSettings::default()
    }
}
