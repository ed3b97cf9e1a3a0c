//! API versions: the prefix of a path, and what changed between versions.

use std::fmt;

use http::StatusCode;

/// A version of the API, `1.51`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// Newest that is spoken; [`api_types::MAX_API_VERSION`].
    pub(crate) const MAX: Self = Self { major: 1, minor: 51 };
    /// Oldest that is spoken; [`api_types::MIN_API_VERSION`].
    pub(crate) const MIN: Self = Self { major: 1, minor: 24 };

    /// Reads digits and dots; what follows the second number does not count, as in Docker's comparison.
    fn parse(text: &str) -> Self {
        let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
        Self { major: numbers.next().unwrap_or(0), minor: numbers.next().unwrap_or(0) }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A change of the API: the versions that have something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    from: ApiVersion,
    to: ApiVersion,
}

impl Gate {
    const fn since(minor: u32) -> Self {
        Self { from: ApiVersion { major: 1, minor }, to: ApiVersion::MAX }
    }

    const fn until(minor: u32) -> Self {
        Self { from: ApiVersion::MIN, to: ApiVersion { major: 1, minor } }
    }

    /// Whether `version` has it.
    pub(crate) fn open(self, version: ApiVersion) -> bool {
        self.from <= version && version <= self.to
    }
}

/// Every difference between versions that we know. Seen by asking dockerd 28 the same in each version.
pub(crate) mod gates {
    use super::Gate;

    /// `info` names security options alone (`seccomp`), not as `name=seccomp,profile=…`.
    pub(crate) const PLAIN_SECURITY_OPTIONS: Gate = Gate::until(24);
    /// `wait` sends its headers when the container has ended and knows no condition.
    pub(crate) const SILENT_WAIT: Gate = Gate::until(29);
    /// Image lists take a name pattern as `filter`.
    pub(crate) const IMAGE_FILTER_PARAMETER: Gate = Gate::until(40);
    /// An update may change the limit of tasks.
    pub(crate) const PIDS_UPDATE: Gate = Gate::since(40);
    /// Stats may be asked for once and at once.
    pub(crate) const ONE_SHOT_STATS: Gate = Gate::since(41);
    /// `info` has `KernelMemory`.
    pub(crate) const KERNEL_MEMORY: Gate = Gate::until(41);
    /// Streams that are multiplexed say so in their content type.
    pub(crate) const MULTIPLEXED_TYPE: Gate = Gate::since(42);
    /// Image lists have null for no digests, and `<none>` names for an image without any.
    pub(crate) const NONE_NAMES: Gate = Gate::until(42);
    /// Images have `VirtualSize`.
    pub(crate) const VIRTUAL_SIZE: Gate = Gate::until(43);
    /// `info` has each runtime's `status`.
    pub(crate) const RUNTIME_STATUS: Gate = Gate::since(44);
    /// Inspected images have `ContainerConfig`.
    pub(crate) const IMAGE_CONTAINER_CONFIG: Gate = Gate::until(44);
    /// `info` has `RegistryConfig.AllowNondistributableArtifacts…`.
    pub(crate) const NONDISTRIBUTABLE: Gate = Gate::until(46);
    /// `info` has `Expected` beside each commit.
    pub(crate) const EXPECTED_COMMITS: Gate = Gate::until(48);
    /// `info` has `BridgeNfIptables` and `BridgeNfIp6tables`.
    pub(crate) const BRIDGE_NF: Gate = Gate::until(49);
    /// Inspected images' `Config` has what only containers use.
    pub(crate) const IMAGE_CONFIG_OF_CONTAINERS: Gate = Gate::until(49);
    /// The members of `info` are in alphabetical order.
    pub(crate) const SORTED_INFO: Gate = Gate::until(49);
    /// Lists of containers show their annotations.
    pub(crate) const LISTED_ANNOTATIONS: Gate = Gate::since(46);
    /// Image lists count containers.
    pub(crate) const IMAGE_CONTAINERS: Gate = Gate::since(51);
}

/// Why a version is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    /// Newer than ours.
    #[error("client version {0} is too new. Maximum supported API version is {max}", max = ApiVersion::MAX)]
    TooNew(String),
    /// Older than ours.
    #[error(
        "client version {0} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version",
        min = ApiVersion::MIN
    )]
    TooOld(String),
}

impl VersionError {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// Splits a path into its version and the rest. No version stands for the newest.
pub(crate) fn split(path: &str) -> Result<(ApiVersion, &str), VersionError> {
    let Some(rest) = path.strip_prefix("/v") else { return Ok((ApiVersion::MAX, path)) };
    let end = rest.find('/').unwrap_or(rest.len());
    let (text, rest) = rest.split_at(end);
    if text.is_empty() || rest.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Ok((ApiVersion::MAX, path));
    }
    match ApiVersion::parse(text) {
        version if version > ApiVersion::MAX => Err(VersionError::TooNew(text.to_owned())),
        version if version < ApiVersion::MIN => Err(VersionError::TooOld(text.to_owned())),
        version => Ok((version, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_bounds_are_those_of_the_types() {
        assert_eq!(ApiVersion::MAX.to_string(), api_types::MAX_API_VERSION);
        assert_eq!(ApiVersion::MIN.to_string(), api_types::MIN_API_VERSION);
    }

    #[test]
    fn a_prefix_is_a_version_only_when_it_looks_like_one() {
        let at = |minor| ApiVersion { major: 1, minor };
        for (path, version, rest) in [
            ("/_ping", at(51), "/_ping"),
            ("/v1.24/info", at(24), "/info"),
            ("/v1.41/containers/a/json", at(41), "/containers/a/json"),
            ("/version", at(51), "/version"),
            ("/volumes", at(51), "/volumes"),
            ("/v1.51", at(51), "/v1.51"),
            ("/vx/info", at(51), "/vx/info"),
        ] {
            assert_eq!(split(path), Ok((version, rest)), "{path}");
        }
    }

    #[test]
    fn refusals_have_docker_s_words() {
        assert_eq!(
            split("/v1.99/info").unwrap_err().to_string(),
            "client version 1.99 is too new. Maximum supported API version is 1.51"
        );
        assert_eq!(
            split("/v1.12/info").unwrap_err().to_string(),
            "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a \
             newer version"
        );
    }

    #[test]
    fn gates_are_inclusive() {
        let at = |minor| ApiVersion { major: 1, minor };
        assert!(gates::VIRTUAL_SIZE.open(at(43)) && !gates::VIRTUAL_SIZE.open(at(44)));
        assert!(!gates::MULTIPLEXED_TYPE.open(at(41)) && gates::MULTIPLEXED_TYPE.open(at(42)));
    }
}
