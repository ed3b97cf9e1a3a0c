//! What a start needs before the shim can be asked: files, devices, the plan. Blocks on the host's file systems.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use oci::runtime::Seccomp;
use runtime::seccomp::Program;
use shim::plan::{Plan, Rootfs};

use crate::capabilities;
use crate::devices;
use crate::error::{EngineError, Result};
use crate::files;
use crate::modes::{self, Mode};
use crate::mounts;
use crate::record::Record;
use crate::resources;
use crate::seccomp_profile::{Circumstances, KernelVersion, Socketcall, parse, standard};
use crate::security::{self, SeccompChoice};
use crate::shared::Shared;
use crate::spec::{self, Surroundings};

/// Host pids of the containers whose namespaces are joined.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Joins {
    pub(crate) pid: Option<i32>,
    pub(crate) ipc: Option<i32>,
    pub(crate) network: Option<i32>,
}

/// What to tell the shim.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The plan, for `Request::Create`.
    pub(crate) plan: OwnedFd,
    /// Digests of hosts, hostname and resolv.conf.
    pub(crate) written_files: BTreeMap<String, String>,
}

/// Prepares a start.
pub(crate) fn prepare(shared: &Shared, record: &Record, joins: Joins) -> Result<Prepared> {
    let dir = shared.layout.container(&record.id);
    mounts::check_sources(&record.mounts)?;
    let written_files = files::write(record, &dir, &shared.host_name())?;
    let options = security::parse(record.host_config.security_opt.as_deref().unwrap_or_default())?;
    let host = &record.host_config;
    let capabilities = capabilities::resolve(
        capabilities::Request {
            add: host.cap_add.as_deref().unwrap_or_default(),
            drop: host.cap_drop.as_deref().unwrap_or_default(),
            privileged: host.privileged,
        },
        shared.host.capabilities,
    )
    .map_err(|error| EngineError::invalid(error.to_string()))?;
    let socketcall = match options.allow_socketcall {
        Some(true) => Socketcall::Allow,
        Some(false) | None => Socketcall::Deny,
    };
    let choice = match options.seccomp {
        SeccompChoice::Default if host.privileged => SeccompChoice::Unconfined,
        SeccompChoice::Default => shared.config.defaults.seccomp.clone(),
        chosen => chosen,
    };
    let filter = seccomp(shared, &choice, &capabilities.bounding, socketcall)?;
    let wanted = devices::plan(
        host.privileged,
        &host.devices,
        host.device_cgroup_rules.as_deref().unwrap_or_default(),
    )?;
    let around = Surroundings {
        dir: &dir,
        cgroup: shared.layout.cgroup(&record.id, &host.cgroup_parent),
        resources: resources::plan(host, shared.config.pids_limit, wanted.rules)?,
        devices: wanted.nodes,
        capabilities,
        writable_cgroups: options.writable_cgroups.unwrap_or(host.privileged),
        no_new_privileges: options.no_new_privileges.unwrap_or(shared.config.defaults.no_new_privileges),
        pid_of: joins.pid,
        ipc_of: joins.ipc,
        network_of: joins.network,
        cgroup_v2: shared.host.cgroup_v2,
        max_files: shared.host.max_files,
        default_ulimits: &shared.config.default_ulimits,
        host_name: shared.host_name(),
    };
    let mut specification = spec::plan(record, &around)?;
    if options.systempaths_unconfined
        && let Some(linux) = &mut specification.linux
    {
        linux.masked_paths.clear();
        linux.readonly_paths.clear();
    }
    let run_dir = shared.layout.run_dir(&record.id);
    crate::shared::private_dir(&run_dir)?;
    let plan = Plan {
        version: 1,
        id: record.id.clone(),
        run_dir,
        rootfs: Rootfs::Overlay {
            lower: shared.layer_paths(record)?,
            upper: dir.upper(),
            work: dir.work(),
            // It is removed when it ends, also by a crash of the host: no byte of it has to reach the disk.
            volatile: host.auto_remove,
        },
        spec: specification,
        user: record.config.user.clone(),
        groups: host.group_add.clone().unwrap_or_default(),
        open_stdin: record.config.open_stdin,
        stdin_once: record.config.stdin_once,
        seccomp_flags: filter.as_ref().map_or(0, |program| program.flags),
        // In another's pid namespace it would not be the one that orphans go to.
        reaper: host.init.unwrap_or(shared.config.init) && modes::pid(&host.pid_mode)? == Mode::Private,
        shm_of: joins.ipc,
        log: crate::log_config::plan(record, dir.log())?,
        shim_cgroup: Some(shared.layout.shim_cgroup()),
    };
    let instructions = filter.as_ref().map_or(&[][..], |program| &program.instructions);
    let plan = plan
        .to_memfd(instructions)
        .map_err(|error| EngineError::system("cannot hand the plan over", error))?;
    Ok(Prepared { plan, written_files })
}

/// The compiled filter of a choice, compiled once per profile and set of capabilities.
fn seccomp(
    shared: &Shared,
    choice: &SeccompChoice,
    bounding: &[String],
    socketcall: Socketcall,
) -> Result<Option<Arc<Program>>> {
    let key = (format!("{choice:?}/{socketcall:?}"), bounding.to_vec());
    if *choice == SeccompChoice::Unconfined {
        return Ok(None);
    }
    if let Some(program) = shared.filters.get(&key) {
        return Ok(program);
    }
    let filter: Option<Seccomp> = match choice {
        SeccompChoice::Unconfined => None,
        SeccompChoice::Default | SeccompChoice::Builtin => Some(standard(bounding, socketcall)),
        SeccompChoice::Profile(json) => {
            parse(json, Circumstances { bounding, kernel: KernelVersion::of_release(&shared.host.kernel) })
                .map_err(|error| EngineError::invalid(error.to_string()))?
        }
    };
    let program = filter
        .map(|filter| runtime::seccomp::compile(&filter).map(Arc::new))
        .transpose()
        .map_err(|error| EngineError::invalid(error.to_string()))?;
    shared.filters.put(key, program.clone());
    Ok(program)
}
