//! What will be done for a container, decided before anything is done: every refusal that needs no kernel is here.

use std::borrow::Cow;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use linux::caps;
use oci::runtime::{Capabilities, Namespace, Personality, Process, Rlimit, Spec};
use rustix::process::Resource;
use rustix::thread::ThreadNameSpaceType;

use crate::error::StartError;
use crate::mount_options::MountOptions;
use crate::scheduling::Scheduling;
use crate::seccomp::{self, Program};

/// A container, planned.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub spec: &'a Spec,
    pub namespaces: Namespaces,
    pub process: ProcessPlan<'a>,
    pub mounts: Vec<MountPlan<'a>>,
    /// Things asked for that cannot be had and need not stop the container (spec: "MUST be logged as a warning").
    pub warnings: Vec<String>,
}

/// One mount, with its options understood.
#[derive(Debug)]
pub(crate) struct MountPlan<'a> {
    pub destination: &'a Path,
    pub kind: &'a str,
    pub source: Option<&'a Path>,
    pub options: MountOptions,
    pub mount: &'a oci::runtime::Mount,
}

/// Namespaces to make and to join.
#[derive(Debug)]
pub(crate) struct Namespaces {
    pub new: ThreadNameSpaceType,
    pub join: Vec<(ThreadNameSpaceType, PathBuf)>,
}

/// A process, planned: of a container's start or of an exec.
#[derive(Debug)]
pub(crate) struct ProcessPlan<'a> {
    pub process: &'a Process,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub capabilities: CapabilityMasks,
    pub limits: Vec<Limit>,
    pub seccomp: Option<Cow<'a, Program>>,
    pub scheduling: Scheduling,
}

/// The five sets as masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CapabilityMasks {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// One resource limit.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub resource: Resource,
    pub name: String,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

impl<'a> Plan<'a> {
    /// Plans a container's start.
    pub(crate) fn new(spec: &'a Spec, seccomp: Option<&'a Program>) -> Result<Self, StartError> {
        let namespaces = Namespaces::new(spec.linux.as_ref().map_or(&[], |linux| &linux.namespaces))?;
        let process = spec
            .process
            .as_ref()
            .ok_or_else(|| StartError::refused("read the specification", "process is missing"))?;
        let filter = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let mut warnings = Vec::new();
        let process = ProcessPlan::new(
            process,
            filter_of(seccomp, filter)?,
            spec.linux.as_ref().and_then(|linux| linux.personality.as_ref()),
            namespaces.has_user_namespace(),
            &mut warnings,
        )?;
        let mounts = spec.mounts.iter().map(MountPlan::new).collect::<Result<_, _>>()?;
        let plan = Self { spec, namespaces, process, mounts, warnings };
        plan.check_sysctls()?;
        Ok(plan)
    }

    /// The Linux part; an absent one asks for nothing.
    pub(crate) fn linux(&self) -> Option<&'a oci::runtime::Linux> {
        self.spec.linux.as_ref()
    }

    /// A parameter that is not the container's own would change the host (CVE-2022-0811).
    fn check_sysctls(&self) -> Result<(), StartError> {
        let Some(linux) = self.linux() else { return Ok(()) };
        for key in linux.sysctl.keys() {
            let name = key.replace('/', ".");
            let has = |kind| self.namespaces.is_private(kind);
            let allowed = match name.as_str() {
                "kernel.msgmax"
                | "kernel.msgmnb"
                | "kernel.msgmni"
                | "kernel.sem"
                | "kernel.shmall"
                | "kernel.shmmax"
                | "kernel.shmmni"
                | "kernel.shm_rmid_forced" => has(ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
                "kernel.domainname" | "kernel.hostname" => {
                    has(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME)
                }
                name if name.starts_with("fs.mqueue.") => {
                    has(ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION)
                }
                name if name.starts_with("net.") => has(ThreadNameSpaceType::NETWORK),
                name if name.starts_with("user.") => has(ThreadNameSpaceType::USER),
                _ => false,
            };
            if !allowed || key.split(['/', '.']).any(|part| part.is_empty()) {
                let step = format!("set sysctl {key:?}");
                return Err(
                    StartError::refused(step, "it is not in a separate kernel namespace").about(key.as_str())
                );
            }
        }
        Ok(())
    }
}

impl<'a> MountPlan<'a> {
    fn new(mount: &'a oci::runtime::Mount) -> Result<Self, StartError> {
        let mut options = MountOptions::parse(&mount.options);
        let kind = mount.kind.as_deref().unwrap_or_default();
        if kind == "bind" && options.bind.is_none() {
            options.bind = Some(crate::mount_options::Recursion::Single);
        }
        let destination = mount.destination.as_path();
        let step = || format!("mount at {:?}", destination.display().to_string());
        if kind.is_empty() && options.bind.is_none() && !options.remount {
            return Err(StartError::refused(step(), "it has no type and no bind option"));
        }
        if options.bind.is_some() && mount.source.is_none() && !options.remount {
            return Err(StartError::refused(step(), "a bind mount needs a source"));
        }
        Ok(Self { destination, kind, source: mount.source.as_deref(), options, mount })
    }

    /// What the kernel knows the file system type as.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.options.bind.is_none() && self.kind == kind
    }
}

fn filter_of<'a>(
    compiled: Option<&'a Program>,
    filter: Option<&oci::runtime::Seccomp>,
) -> Result<Option<Cow<'a, Program>>, StartError> {
    match (compiled, filter) {
        (Some(program), _) => Ok(Some(Cow::Borrowed(program))),
        (None, None) => Ok(None),
        (None, Some(filter)) => seccomp::compile(filter)
            .map(|program| Some(Cow::Owned(program)))
            .map_err(|error| StartError::refused("compile the seccomp filter", error.to_string())),
    }
}

impl Namespaces {
    fn new(namespaces: &[Namespace]) -> Result<Self, StartError> {
        let mut planned = Self { new: ThreadNameSpaceType::empty(), join: Vec::new() };
        let mut seen = ThreadNameSpaceType::empty();
        for namespace in namespaces {
            let step = || format!("plan {} namespace", namespace.kind);
            let kind = namespace_kind(&namespace.kind)
                .ok_or_else(|| StartError::refused(step(), "its type is unknown").about(&*namespace.kind))?;
            if seen.contains(kind) {
                return Err(StartError::refused(step(), "it is listed twice"));
            }
            seen |= kind;
            match namespace.path.as_ref().filter(|path| !path.as_os_str().is_empty()) {
                None => planned.new |= kind,
                Some(_) if kind == ThreadNameSpaceType::MOUNT => {
                    return Err(StartError::refused(
                        step(),
                        "the container's root is built in a new one, an existing one cannot be joined",
                    ));
                }
                Some(path) => planned.join.push((kind, path.clone())),
            }
        }
        if !planned.new.contains(ThreadNameSpaceType::MOUNT) {
            return Err(StartError::refused(
                "plan mount namespace",
                "a container without a mount namespace of its own would change the host's mounts",
            ));
        }
        Ok(planned)
    }

    /// Made new or joined: not the runtime's own.
    pub(crate) fn is_private(&self, kind: ThreadNameSpaceType) -> bool {
        self.new.contains(kind) || self.joins(kind)
    }

    pub(crate) fn joins(&self, kind: ThreadNameSpaceType) -> bool {
        self.join.iter().any(|(joined, _)| *joined == kind)
    }

    pub(crate) fn has_user_namespace(&self) -> bool {
        self.is_private(ThreadNameSpaceType::USER)
    }

    /// Whether an intermediate process has to arrange things before the first process can be made: a pid or time
    /// namespace is entered only by children, and what is joined must be joined before a new user namespace takes
    /// the right to.
    pub(crate) fn need_transient(&self) -> bool {
        self.joins(ThreadNameSpaceType::PROCESS_ID)
            || self.joins(ThreadNameSpaceType::USER)
            || self.is_private(ThreadNameSpaceType::TIME)
            || self.new.contains(ThreadNameSpaceType::USER) && !self.join.is_empty()
    }
}

fn namespace_kind(name: &str) -> Option<ThreadNameSpaceType> {
    Some(match name {
        "mount" => ThreadNameSpaceType::MOUNT,
        "pid" => ThreadNameSpaceType::PROCESS_ID,
        "network" => ThreadNameSpaceType::NETWORK,
        "uts" => ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
        "ipc" => ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
        "user" => ThreadNameSpaceType::USER,
        "cgroup" => ThreadNameSpaceType::CONTROL_GROUP,
        "time" => ThreadNameSpaceType::TIME,
        _ => return None,
    })
}

impl<'a> ProcessPlan<'a> {
    /// Plans a process; `in_user_namespace` has every capability the kernel knows.
    pub(crate) fn new(
        process: &'a Process,
        seccomp: Option<Cow<'a, Program>>,
        personality: Option<&Personality>,
        in_user_namespace: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, StartError> {
        if process.args.is_empty() {
            return Err(StartError::refused("read the specification", "process.args is empty"));
        }
        if !process.cwd.starts_with('/') {
            let step = format!("chdir to cwd ({:?}) set in config.json failed", process.cwd);
            return Err(StartError::refused(step, "it is not an absolute path"));
        }
        let available = if in_user_namespace {
            u64::MAX
        } else {
            caps::permitted().map_err(|error| StartError::new("read own capabilities", error))?
        };
        Ok(Self {
            process,
            args: c_strings("argument", &process.args)?,
            env: c_strings("environment variable", &process.env)?,
            capabilities: CapabilityMasks::new(process.capabilities.as_ref(), available, warnings),
            limits: process.rlimits.iter().map(Limit::new).collect::<Result<_, _>>()?,
            seccomp,
            scheduling: Scheduling::new(process, personality)?,
        })
    }

    /// The last `PATH` of the environment.
    pub(crate) fn path(&self) -> Option<&str> {
        self.process.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="))
    }
}

fn c_strings(what: &str, strings: &[String]) -> Result<Vec<CString>, StartError> {
    strings
        .iter()
        .map(|string| {
            CString::new(string.as_bytes())
                .map_err(|_| StartError::refused(format!("read {what} {string:?}"), "it contains a NUL byte"))
        })
        .collect()
}

impl CapabilityMasks {
    fn new(sets: Option<&Capabilities>, available: u64, warnings: &mut Vec<String>) -> Self {
        let Some(sets) = sets else { return Self::default() };
        let mut missing = Vec::new();
        let mut mask = |names: &[String]| {
            let mut mask = 0;
            for name in names {
                match caps::bit(name) {
                    Some(bit) if bit & available != 0 => mask |= bit,
                    _ if missing.contains(name) => {}
                    _ => missing.push(name.clone()),
                }
            }
            mask
        };
        let bounding = mask(&sets.bounding);
        let permitted = mask(&sets.permitted);
        let inheritable = mask(&sets.inheritable);
        let masks = Self {
            bounding,
            permitted,
            inheritable,
            effective: mask(&sets.effective) & permitted,
            ambient: mask(&sets.ambient) & permitted & inheritable,
        };
        warnings.extend(missing.iter().map(|name| match caps::bit(name) {
            Some(_) => format!("capability {name} is not granted: the runtime itself does not hold it"),
            None => format!("capability {name} is not granted: it is unknown"),
        }));
        masks
    }
}

impl Limit {
    fn new(limit: &Rlimit) -> Result<Self, StartError> {
        let resource = limit_resource(&limit.kind).ok_or_else(|| {
            let step = format!("set rlimit {}", limit.kind);
            StartError::refused(step, "there is no such limit").about(&*limit.kind)
        })?;
        // RLIM_INFINITY is `None` in rustix.
        let value = |value: u64| (value != u64::MAX).then_some(value);
        Ok(Self { resource, name: limit.kind.clone(), soft: value(limit.soft), hard: value(limit.hard) })
    }

    /// Sets it for `pid`, the calling process when none.
    pub(crate) fn apply(&self, pid: Option<rustix::process::Pid>) -> Result<(), StartError> {
        let new = rustix::process::Rlimit { current: self.soft, maximum: self.hard };
        match rustix::process::prlimit(pid, self.resource, new) {
            Ok(_) => Ok(()),
            Err(error) => {
                let number = |value: Option<u64>| value.map_or("unlimited".to_owned(), |v| v.to_string());
                let step = format!(
                    "error setting rlimit {} to soft {}, hard {}",
                    self.name,
                    number(self.soft),
                    number(self.hard)
                );
                let failed = StartError::new(step, error.into()).about(&*self.name);
                Err(if error == rustix::io::Errno::PERM {
                    let reason = "operation not permitted: raising a hard limit needs CAP_SYS_RESOURCE, which \
                                  the runtime does not have on this machine";
                    failed.because(libc::EPERM, reason)
                } else {
                    failed
                })
            }
        }
    }
}

fn limit_resource(name: &str) -> Option<Resource> {
    Some(match name {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    })
}
