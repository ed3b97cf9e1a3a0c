//! Creating a container: every refusal first, then directory, row, use.

use std::sync::Arc;

use api_types::config::Config;
use api_types::container::{CreateRequest, CreateResponse};
use api_types::host_config::HostConfig;

use crate::capabilities;
use crate::container::Container;
use crate::devices;
use crate::endpoints;
use crate::error::{EngineError, ErrorKind, Result};
use crate::events::now;
use crate::failpoints;
use crate::health;
use crate::log_config;
use crate::merge;
use crate::modes::{self, NetworkMode};
use crate::mounts::{self, MountPlan, VolumesFrom};
use crate::names;
use crate::record::{Record, VERSION};
use crate::resources;
use crate::restart;
use crate::security;
use crate::shared::Shared;
use crate::signals;
use crate::state::State;
use crate::supervise::{Supervisor, container_event};

/// Warning of a container whose network mode is the default one. The API leaves it out for command lines, which would
/// print it at every `run`.
pub const LOOPBACK_ONLY: &str =
    "The container has a network namespace of its own with loopback only: this version has no bridge yet.";

/// Creates a container.
pub(crate) async fn create(
    shared: &Arc<Shared>,
    name: Option<&str>,
    platform: Option<&str>,
    request: CreateRequest,
) -> Result<CreateResponse> {
    // First of all, as in Docker: a client that is told of a missing image fetches it and asks again.
    let image = shared.image(&request.config.image, platform)?;
    // The hold keeps the image until the row that needs it is written.
    let hold = shared
        .images
        .hold(&image.id)
        .ok_or_else(|| EngineError::not_found(format!("No such image: {}", request.config.image)))?;
    let id = names::new_id()?;
    let name = reserve(shared, name, &id)?;
    let (owned, owned_id, owned_name) = (Arc::clone(shared), id.clone(), name.clone());
    let planned = tokio::task::spawn_blocking(move || {
        let planned = plan(&owned, owned_id, owned_name, &image, request)?;
        failpoints::CREATE_PLANNED.check()?;
        make_directory(&owned, &planned.record)?;
        failpoints::CREATE_DIRECTORY.check()?;
        Ok(planned)
    })
    .await
    .map_err(|error| EngineError::system("cannot create the container", error))
    .and_then(|outcome| outcome);
    let outcome = match planned {
        Ok(Planned { record, warnings }) => enter(shared, record).await.map(|()| warnings),
        Err(error) => Err(error),
    };
    drop(hold);
    match outcome {
        Ok(warnings) => Ok(CreateResponse { id, warnings }),
        Err(error) => {
            shared.registry.release(&name);
            let dir = shared.layout.container(&id).root().to_owned();
            // It may not have been made yet.
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir)).await;
            Err(error)
        }
    }
}

fn reserve(shared: &Shared, name: Option<&str>, id: &str) -> Result<String> {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let name = names::check(name)?;
        shared.registry.reserve(name, id)?;
        return Ok(name.to_owned());
    }
    let mut attempt = 0;
    loop {
        let name = names::generate(attempt)?;
        match shared.registry.reserve(&name, id) {
            Ok(()) => return Ok(name),
            Err(_) if attempt < 1000 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// A container that may be created.
struct Planned {
    record: Record,
    warnings: Vec<String>,
}

/// Decides everything: pure but for questions to the host.
fn plan(
    shared: &Shared,
    id: String,
    name: String,
    image: &images::Image,
    request: CreateRequest,
) -> Result<Planned> {
    let CreateRequest { config, mut host_config, networking_config, .. } = request;
    let mut warnings = Vec::new();
    let image_name = config.image.clone();
    check_config(&config)?;
    endpoints::check(&networking_config, &config.mac_address)?;
    let exposes = config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty());
    if exposes && host_config.network_mode.starts_with("container:") {
        return Err(EngineError::invalid(
            "conflicting options: port exposing and the container type network mode",
        ));
    }
    let mut config = merge::merge(config, &image_config(image)?)?;
    check_host_config(shared, &config, &mut host_config, &mut warnings)?;
    if config.hostname.is_empty() {
        let of_host = matches!(modes::network(&host_config.network_mode), Ok(NetworkMode::Host));
        config.hostname = if of_host { shared.host_name() } else { id[..12].to_owned() };
    }
    let volumes: Vec<String> = config.volumes.iter().flatten().map(|(path, _)| path.clone()).collect();
    let inherited = inherited_mounts(shared, &host_config)?;
    let mounts = mounts::plan(&host_config, inherited, &volumes, &mut warnings)?;
    mounts::check_sources(&mounts)?;
    devices::plan(
        false,
        &host_config.devices,
        host_config.device_cgroup_rules.as_deref().unwrap_or_default(),
    )?;
    let record = Record {
        version: VERSION,
        id,
        name,
        created: now(),
        image: image_name,
        image_id: image.id.to_string(),
        config,
        host_config,
        mounts,
        state: State::Created { failure: None },
        restart_count: 0,
        paused_for_commit: false,
        stopped_by_user: false,
        health: None,
        written_files: std::collections::BTreeMap::new(),
        boot_id: shared.host.boot_id.clone(),
    };
    Ok(Planned { record, warnings })
}

/// Mounts of the containers of `--volumes-from`, in the order in which these are named.
fn inherited_mounts(shared: &Shared, host: &HostConfig) -> Result<Vec<MountPlan>> {
    let mut inherited = Vec::new();
    for text in host.volumes_from.iter().flatten() {
        let from = VolumesFrom::parse(text)?;
        // Not "not found": see `resolve_joined`.
        let donor =
            shared.registry.find(from.container).map_err(|error| EngineError::invalid(error.message()))?;
        inherited.extend(donor.record().mounts.iter().filter_map(|mount| from.inherit(mount)));
    }
    Ok(inherited)
}

/// The image's own configuration, in Docker's words.
fn image_config(image: &images::Image) -> Result<Config> {
    let read = || -> serde_json::Result<Config> {
        let mut document: serde_json::Value = serde_json::from_slice(&image.raw_config)?;
        let mut config = document["config"].take();
        api_types::strip_nulls(&mut config);
        if config.is_null() { Ok(Config::default()) } else { serde_json::from_value(config) }
    };
    read().map_err(|error| {
        EngineError::system(format!("cannot read the configuration of image {}", image.id), error)
    })
}

fn check_config(config: &Config) -> Result<()> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(EngineError::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    if !config.stop_signal.is_empty() {
        signals::parse(&config.stop_signal)?;
    }
    for entry in config.env.iter().flatten() {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(EngineError::invalid(format!("invalid environment variable: {entry}")));
        }
    }
    if let Some(check) = &config.healthcheck {
        health::check_numbers(check)?;
    }
    Ok(())
}

fn not_yet(what: &str) -> EngineError {
    EngineError::new(ErrorKind::NotImplemented, format!("{what} are not there yet in this version"))
}

fn check_host_config(
    shared: &Shared,
    config: &Config,
    host: &mut HostConfig,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let ports = host.publish_all_ports || host.port_bindings.iter().any(|ports| !ports.is_empty());
    modes::check(host, !config.hostname.is_empty(), ports)?;
    resources::check(host, &shared.host, warnings)?;
    security::parse(host.security_opt.as_deref().unwrap_or_default())
        .map_err(|error| error.of_kind(ErrorKind::Unclassified))?;
    check_extra_hosts(host.extra_hosts.as_deref().unwrap_or_default())?;
    if host.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
        return Err(EngineError::invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ));
    }
    restart::check(&host.restart_policy, host.auto_remove)?;
    log_config::complete(&mut host.log_config, &shared.config.log_options, warnings)?;
    capabilities::resolve(
        capabilities::Request {
            add: host.cap_add.as_deref().unwrap_or_default(),
            drop: host.cap_drop.as_deref().unwrap_or_default(),
            privileged: host.privileged,
        },
        shared.host.capabilities,
    )
    .map_err(|error| EngineError::invalid(error.to_string()))?;
    check_not_there_yet(host)?;
    resolve_joined(shared, host)?;
    if ports {
        return Err(not_yet("published ports"));
    }
    if matches!(modes::network(&host.network_mode), Ok(NetworkMode::Default)) {
        host.network_mode = "default".into();
        warnings.push(LOOPBACK_ONLY.to_owned());
    }
    fill_defaults(host, shared.host.cgroup_v2, shared.config.defaults.shm_size);
    Ok(())
}

/// `name:address` or `name=address`; the address may be `host-gateway`.
fn check_extra_hosts(hosts: &[String]) -> Result<()> {
    for host in hosts {
        let Some((_, address)) = host.split_once(['=', ':']).filter(|(name, _)| !name.is_empty()) else {
            return Err(EngineError::invalid(format!("bad format for add-host: {host:?}")));
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if address != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
            return Err(EngineError::invalid(format!("invalid IP address in add-host: {address:?}")));
        }
    }
    Ok(())
}

fn check_not_there_yet(host: &HostConfig) -> Result<()> {
    let filled = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if !matches!(host.runtime.as_str(), "" | "runc" | "corten" | "io.containerd.runc.v2") {
        return Err(EngineError::invalid(format!("unknown or invalid runtime name: {}", host.runtime)));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        let message = format!("invalid isolation ({}): linux only supports 'default'", host.isolation);
        return Err(EngineError::invalid(message));
    }
    if filled(&host.links) {
        return Err(not_yet("links"));
    }
    if host.device_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
        return Err(EngineError::invalid(
            "could not select device driver: this engine has none (--gpus, CDI)",
        ));
    }
    if host.storage_opt.as_ref().is_some_and(|options| !options.is_empty()) {
        let unknown = host.storage_opt.iter().flatten().find(|(option, _)| *option != "size");
        let message = unknown.map_or_else(
            || "--storage-opt is supported only for overlay over xfs with 'pquota' mount option".to_owned(),
            |(option, _)| format!("Unknown option {option}"),
        );
        return Err(EngineError::new(ErrorKind::Unclassified, message));
    }
    Ok(())
}

/// `container:name` becomes `container:<id>`, as Docker keeps it.
fn resolve_joined(shared: &Shared, host: &mut HostConfig) -> Result<()> {
    for mode in [&mut host.pid_mode, &mut host.ipc_mode, &mut host.network_mode] {
        if let Some(name) = mode.strip_prefix("container:") {
            // As in `modes::network`: a create that finds something else than its image missing is a bad request.
            let joined = shared.registry.find(name).map_err(|error| EngineError::invalid(error.message()))?;
            *mode = format!("container:{}", joined.id);
        }
    }
    Ok(())
}

/// What Docker fills in, as `inspect` shows it.
fn fill_defaults(host: &mut HostConfig, cgroup_v2: bool, shm_size: i64) {
    let default = |field: &mut String, value: &str| {
        if field.is_empty() {
            *field = value.to_owned();
        }
    };
    default(&mut host.restart_policy.name, "no");
    default(&mut host.ipc_mode, "private");
    default(&mut host.cgroupns_mode, if cgroup_v2 { "private" } else { "host" });
    default(&mut host.runtime, "runc");
    if host.shm_size == 0 && !host.ipc_mode.starts_with("container:") {
        host.shm_size = shm_size;
    }
    host.links = host.links.take().filter(|links| !links.is_empty());
    disable_labels(host);
    // What clients send for "not given".
    host.memory_swappiness = host.memory_swappiness.filter(|swappiness| *swappiness != -1);
    host.pids_limit = host.pids_limit.filter(|limit| *limit != 0);
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = host.memory.saturating_mul(2);
    }
    if host.oom_kill_disable.is_none() && !cgroup_v2 {
        host.oom_kill_disable = Some(false);
    }
    if !host.privileged {
        let list = |paths: &[&str]| Some(paths.iter().map(|&path| path.to_owned()).collect());
        if host.masked_paths.is_none() {
            host.masked_paths = list(&crate::spec::MASKED_PATHS);
        }
        if host.readonly_paths.is_none() {
            host.readonly_paths = list(&crate::spec::READONLY_PATHS);
        }
    }
}

/// Docker takes SELinux's confinement from whoever shares the host's processes, and says so.
fn disable_labels(host: &mut HostConfig) {
    let labelled = host.security_opt.iter().flatten().any(|option| option.starts_with("label"));
    if !labelled && (host.privileged || host.pid_mode == "host" || host.ipc_mode == "host") {
        host.security_opt.get_or_insert_default().push("label=disable".to_owned());
    }
}

fn make_directory(shared: &Shared, record: &Record) -> Result<()> {
    let dir = shared.layout.container(&record.id);
    crate::shared::private_dir(dir.root())?;
    snapshots::upper::prepare(dir.root(), shared.images.layers().settings())
        .map_err(|error| EngineError::system("cannot make the container's writable layer", error))
}

/// Writes the row, and lets everybody see the container.
async fn enter(shared: &Arc<Shared>, record: Record) -> Result<()> {
    shared.store.put(Arc::new(record.clone())).await?;
    failpoints::CREATE_SAVED.pass();
    let event = container_event(&record, "create", &[]);
    let (container, commands) = Container::new(record);
    shared.registry.insert(Arc::clone(&container));
    Supervisor::spawn(Arc::clone(shared), container, commands);
    shared.events.publish(event);
    failpoints::CREATE_ENTERED.pass();
    Ok(())
}
