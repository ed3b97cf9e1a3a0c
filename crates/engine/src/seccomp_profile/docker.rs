//! Profiles in Docker's JSON format: rules that hold for some capabilities, machines and kernels only.

use oci::runtime::{Seccomp, SyscallArg, SyscallRule};
use serde::Deserialize;

use super::KernelVersion;

/// Why a profile was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON, or not a profile.
    #[error("Decoding seccomp profile failed")]
    Decode(#[source] serde_json::Error),
    /// Two fields that exclude each other.
    #[error("both '{0}' and '{1}' are specified in the seccomp profile, use either '{0}' or '{1}'")]
    Both(&'static str, &'static str),
    /// A `minKernel` that is no version.
    #[error("invalid kernel version: {0:?}, expected \"<kernel>.<major>\"")]
    Kernel(String),
}

/// What decides which rules of a profile hold.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The container's bounding set.
    pub bounding: &'a [String],
    /// The running kernel.
    pub kernel: KernelVersion,
}

/// A profile as written. `null` is the same as absent everywhere.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Option<String>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchMapping>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Call>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMapping {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    /// The only name; from before there was a list.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<SyscallArg>>,
    includes: Option<Condition>,
    excludes: Option<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// This machine in `archMap`.
const MACHINE: &str = "SCMP_ARCH_X86_64";
/// This machine in `includes` and `excludes`.
const ARCH: &str = "amd64";

/// Reads a profile and keeps the rules that hold. None: the profile says nothing at all, which means no filter.
pub fn parse(json: &str, circumstances: Circumstances<'_>) -> Result<Option<Seccomp>, ProfileError> {
    let profile: Profile = serde_json::from_str(json).map_err(ProfileError::Decode)?;
    let default_action = profile.default_action.unwrap_or_default();
    let calls = profile.syscalls.unwrap_or_default();
    if default_action.is_empty() && calls.is_empty() {
        return Ok(None);
    }
    let listed = profile.architectures.unwrap_or_default();
    let mapped = profile.arch_map.unwrap_or_default();
    if !listed.is_empty() && !mapped.is_empty() {
        return Err(ProfileError::Both("architectures", "archMap"));
    }
    let mut syscalls = Vec::with_capacity(calls.len());
    for call in calls {
        if call.holds(circumstances)? {
            syscalls.push(call.into_rule()?);
        }
    }
    Ok(Some(Seccomp {
        default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures: if mapped.is_empty() { listed } else { architectures(mapped) },
        flags: profile.flags.unwrap_or_default(),
        syscalls,
    }))
}

fn architectures(mapped: Vec<ArchMapping>) -> Vec<String> {
    let ours = mapped.into_iter().find(|mapping| mapping.architecture == MACHINE);
    let Some(ours) = ours else { return Vec::new() };
    let mut architectures = vec![ours.architecture];
    architectures.extend(ours.sub_architectures.unwrap_or_default());
    architectures
}

impl Call {
    fn holds(&self, circumstances: Circumstances<'_>) -> Result<bool, ProfileError> {
        let (mut included, mut excluded) = (true, false);
        if let Some(condition) = &self.includes {
            let found = condition.ask(circumstances)?;
            included = found.caps.is_none_or(|[_, all]| all)
                && found.arch.unwrap_or(true)
                && found.kernel.unwrap_or(true);
        }
        if let Some(condition) = &self.excludes {
            let found = condition.ask(circumstances)?;
            excluded = found.caps.is_some_and(|[any, _]| any)
                || found.arch.unwrap_or(false)
                || found.kernel.unwrap_or(false);
        }
        Ok(included && !excluded)
    }

    fn into_rule(self) -> Result<SyscallRule, ProfileError> {
        let mut names = self.names.unwrap_or_default();
        if let Some(name) = self.name.filter(|name| !name.is_empty()) {
            if !names.is_empty() {
                return Err(ProfileError::Both("name", "names"));
            }
            names.push(name);
        }
        let args = self.args.unwrap_or_default();
        Ok(SyscallRule { names, action: self.action, errno_ret: self.errno_ret, args })
    }
}

/// A condition's parts, as far as it has them.
struct Found {
    /// Whether the container has any, and all, of the capabilities.
    caps: Option<[bool; 2]>,
    arch: Option<bool>,
    kernel: Option<bool>,
}

impl Condition {
    fn ask(&self, circumstances: Circumstances<'_>) -> Result<Found, ProfileError> {
        let has = |name: &String| circumstances.bounding.contains(name);
        let caps = self.caps.as_ref().filter(|caps| !caps.is_empty());
        let arches = self.arches.as_ref().filter(|arches| !arches.is_empty());
        let wanted = match self.min_kernel.as_deref() {
            None | Some("") => None,
            Some(text) => {
                Some(KernelVersion::exact(text).ok_or_else(|| ProfileError::Kernel(text.to_owned()))?)
            }
        };
        Ok(Found {
            caps: caps.map(|caps| [caps.iter().any(has), caps.iter().all(has)]),
            arch: arches.map(|arches| arches.iter().any(|arch| arch == ARCH)),
            kernel: wanted.map(|wanted| circumstances.kernel >= wanted),
        })
    }
}
