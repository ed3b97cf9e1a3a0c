//! Mounts of a container, from Docker's three notations (`Binds`, `Mounts`, `Tmpfs`) to one list.
//!
//! Pure but for [`check_sources`], which looks at the host.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use api_types::container::MountPoint;
use api_types::host_config::{HostConfig, MountRequest};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, ErrorKind, Result};

/// One mount that the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// Absolute, cleaned path in the container.
    pub destination: String,
    /// What is mounted.
    pub what: MountSource,
    /// Not writable.
    pub read_only: bool,
    /// Options as the user wrote them (`ro,z`).
    pub mode: String,
    /// Given as `--tmpfs`: Docker does not list those.
    #[serde(default)]
    pub unlisted: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute path.
        source: PathBuf,
        /// `rprivate`, ….
        propagation: String,
        /// Without what is mounted below the source.
        non_recursive: bool,
        /// Read-only concerns the top mount alone.
        read_only_non_recursive: bool,
        /// Make the source, as a directory, when it is missing (`-v`).
        create: bool,
    },
    /// Memory.
    Tmpfs {
        /// Mount options.
        options: Vec<String>,
    },
}

/// One `--volumes-from container[:mode]`.
#[derive(Debug, PartialEq, Eq)]
pub struct VolumesFrom<'a> {
    /// Name or id.
    pub container: &'a str,
    read_only: bool,
}

impl<'a> VolumesFrom<'a> {
    /// Reads one. Propagation and copying are the original mount's and cannot be chosen.
    pub fn parse(text: &'a str) -> Result<Self> {
        let (container, mode) = text.split_once(':').unwrap_or((text, ""));
        let invalid = || EngineError::invalid(format!("invalid mode: {mode}"));
        if mode.split(',').any(|word| !matches!(word, "" | "rw" | "ro" | "z" | "Z")) {
            return Err(invalid());
        }
        let read_only = BindMode::parse(mode)?.read_only;
        if container.is_empty() {
            return Err(EngineError::invalid("invalid name or ID supplied: \"\""));
        }
        Ok(Self { container, read_only })
    }

    /// What becomes of a mount of that container here; those of `--tmpfs` are its own.
    pub fn inherit(&self, mount: &MountPlan) -> Option<MountPlan> {
        (!mount.unlisted).then(|| MountPlan {
            read_only: mount.read_only || self.read_only,
            mode: String::new(),
            ..mount.clone()
        })
    }
}

/// All mounts of a container, shallow destinations first: its own, and in front of none of them those that it has
/// `inherited`. The image's `volumes` are refused politely until volumes exist: they come back as warnings.
pub fn plan(
    host: &HostConfig,
    inherited: Vec<MountPlan>,
    volumes: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<MountPlan>> {
    let mut mounts = Vec::new();
    for bind in host.binds.iter().flatten() {
        mounts.push(parse_bind(bind).map_err(|error| match error.kind() {
            ErrorKind::InvalidParameter => error.of_kind(ErrorKind::Unclassified),
            _ => error,
        })?);
    }
    for request in host.mounts.iter().flatten() {
        mounts.push(parse_mount(request)?);
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        mounts.push(parse_tmpfs(destination, options)?);
    }
    refuse_duplicates(&mounts)?;
    // Of two containers that have the same, the one named last wins.
    for mount in inherited.into_iter().rev() {
        if !mounts.iter().any(|present| present.destination == mount.destination) {
            mounts.push(mount);
        }
    }
    for volume in volumes {
        let destination = clean(volume);
        if !mounts.iter().any(|mount| mount.destination == destination) {
            warnings.push(format!(
                "Volume {destination} is kept in the container's writable layer: this version has no volumes yet."
            ));
        }
    }
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    Ok(mounts)
}

fn refuse_duplicates(mounts: &[MountPlan]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for mount in mounts {
        if seen.insert(&mount.destination, ()).is_some() {
            return Err(EngineError::invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
    }
    Ok(())
}

/// `source:destination[:mode]`.
fn parse_bind(text: &str) -> Result<MountPlan> {
    let invalid =
        |why: String| EngineError::invalid(format!("invalid volume specification: '{text}': {why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [source, destination] if !source.is_empty() && !destination.is_empty() => (source, destination, ""),
        [source, destination, mode] if !source.is_empty() && !destination.is_empty() => {
            (source, destination, mode)
        }
        [destination] if !destination.is_empty() && !destination.starts_with('/') => {
            return Err(invalid(format!(
                "invalid mount config for type \"volume\": invalid mount path: '{destination}' mount path must be absolute"
            )));
        }
        _ => return Err(EngineError::invalid(format!("invalid volume specification: '{text}'"))),
    };
    if !destination.starts_with('/') {
        return Err(invalid(format!(
            "invalid mount config for type \"bind\": invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    let destination = clean(destination);
    if destination == "/" {
        return Err(invalid(
            "invalid mount config for type \"bind\": invalid specification: destination can't be '/'".into(),
        ));
    }
    if !source.starts_with('/') {
        return Err(no_volumes(source));
    }
    let options = BindMode::parse(mode)?;
    Ok(MountPlan {
        destination,
        what: MountSource::Bind {
            source: PathBuf::from(clean(source)),
            propagation: options.propagation,
            non_recursive: options.non_recursive,
            read_only_non_recursive: false,
            create: true,
        },
        read_only: options.read_only,
        mode: mode.to_owned(),
        unlisted: false,
    })
}

fn no_volumes(name: &str) -> EngineError {
    EngineError::new(
        ErrorKind::NotImplemented,
        format!(
            "volume {name:?}: this version has no named volumes yet; use a path of the host (-v /path:/path)"
        ),
    )
}

/// The third part of a bind.
struct BindMode {
    read_only: bool,
    propagation: String,
    non_recursive: bool,
}

impl BindMode {
    fn parse(mode: &str) -> Result<Self> {
        let mut parsed = Self { read_only: false, propagation: String::new(), non_recursive: false };
        let (mut access, mut labels, mut copies, mut consistencies) = (0, 0, 0, 0);
        let invalid = || EngineError::invalid(format!("invalid mode: {mode}"));
        for word in mode.split(',').filter(|_| !mode.is_empty()) {
            match word {
                "rw" => access += 1,
                "ro" => {
                    parsed.read_only = true;
                    access += 1;
                }
                "z" | "Z" => labels += 1,
                "nocopy" => copies += 1,
                "cached" | "delegated" | "consistent" => consistencies += 1,
                "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave"
                    if parsed.propagation.is_empty() =>
                {
                    parsed.propagation = word.to_owned();
                }
                "rbind" => {}
                "bind" => parsed.non_recursive = true,
                _ => return Err(invalid()),
            }
        }
        if access > 1 || labels > 1 || copies > 1 || consistencies > 1 {
            return Err(invalid());
        }
        if parsed.propagation.is_empty() {
            parsed.propagation = "rprivate".to_owned();
        }
        Ok(parsed)
    }
}

/// One `--mount`.
fn parse_mount(request: &MountRequest) -> Result<MountPlan> {
    let invalid = |why: &str| {
        EngineError::invalid(format!("invalid mount config for type \"{}\": {why}", request.kind))
    };
    if request.target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    if !request.target.starts_with('/') {
        return Err(invalid(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            request.target
        )));
    }
    let destination = clean(&request.target);
    if destination == "/" {
        return Err(invalid("invalid specification: destination can't be '/'"));
    }
    let what = match request.kind.as_str() {
        "bind" => bind_of(request, &invalid)?,
        "tmpfs" => tmpfs_of(request, &invalid)?,
        "volume" => return Err(no_volumes(&request.source)),
        "image" => {
            return Err(EngineError::new(
                ErrorKind::NotImplemented,
                "mounts of type \"image\" are not there yet in this version",
            ));
        }
        _ => return Err(invalid("mount type unknown")),
    };
    Ok(MountPlan { destination, what, read_only: request.read_only, mode: String::new(), unlisted: false })
}

fn bind_of(request: &MountRequest, invalid: &dyn Fn(&str) -> EngineError) -> Result<MountSource> {
    if request.source.is_empty() {
        return Err(invalid("field Source must not be empty"));
    }
    if !request.source.starts_with('/') {
        return Err(invalid(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            request.source
        )));
    }
    if request.tmpfs_options.is_some() {
        return Err(not_for("TmpfsOptions", &request.kind));
    }
    if request.volume_options.is_some() {
        return Err(not_for("VolumeOptions", &request.kind));
    }
    let options = request.bind_options.clone().unwrap_or_default();
    match options.propagation.as_str() {
        "" | "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {}
        other => return Err(invalid(&format!("invalid propagation mode: {other}"))),
    }
    Ok(MountSource::Bind {
        source: PathBuf::from(clean(&request.source)),
        propagation: if options.propagation.is_empty() { "rprivate".into() } else { options.propagation },
        non_recursive: options.non_recursive,
        read_only_non_recursive: options.read_only_non_recursive,
        create: options.create_mountpoint,
    })
}

fn not_for(options: &str, kind: &str) -> EngineError {
    EngineError::invalid(format!("{options} must not be specified on mount type {kind:?}"))
}

fn tmpfs_of(request: &MountRequest, invalid: &dyn Fn(&str) -> EngineError) -> Result<MountSource> {
    if !request.source.is_empty() {
        return Err(invalid("field Source must not be specified"));
    }
    if request.bind_options.is_some() {
        return Err(not_for("BindOptions", &request.kind));
    }
    let wanted = request.tmpfs_options.clone().unwrap_or_default();
    let mut options = TMPFS_DEFAULTS.map(str::to_owned).to_vec();
    if wanted.size_bytes > 0 {
        options.push(format!("size={}", wanted.size_bytes));
    }
    if wanted.mode != 0 {
        options.push(format!("mode={:o}", wanted.mode));
    }
    for words in wanted.options.iter().flatten() {
        push_option(&mut options, &words.join("="));
    }
    Ok(MountSource::Tmpfs { options })
}

const TMPFS_DEFAULTS: [&str; 3] = ["noexec", "nosuid", "nodev"];

/// One `--tmpfs destination:options`.
fn parse_tmpfs(destination: &str, options: &str) -> Result<MountPlan> {
    if !destination.starts_with('/') {
        return Err(EngineError::invalid(format!(
            "invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    let cleaned = clean(destination);
    if cleaned == "/" {
        return Err(EngineError::invalid("invalid specification: destination can't be '/'"));
    }
    let mut merged = TMPFS_DEFAULTS.map(str::to_owned).to_vec();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if !is_tmpfs_option(option) {
            return Err(EngineError::invalid(format!("invalid tmpfs option {option:?}")));
        }
        push_option(&mut merged, option);
    }
    Ok(MountPlan {
        destination: cleaned,
        read_only: merged.iter().any(|option| option == "ro"),
        what: MountSource::Tmpfs { options: merged },
        mode: options.to_owned(),
        unlisted: true,
    })
}

/// Adds `option`, in place of the one it contradicts.
fn push_option(options: &mut Vec<String>, option: &str) {
    let key = option_key(option);
    options.retain(|present| option_key(present) != key);
    options.push(option.to_owned());
}

/// Options with the same key exclude each other: `exec` and `noexec`, two sizes.
fn option_key(option: &str) -> &str {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    match name {
        "rw" | "ro" => "ro",
        _ => name.strip_prefix("no").filter(|rest| *rest != "r_inodes").unwrap_or(name),
    }
}

fn is_tmpfs_option(option: &str) -> bool {
    const FLAGS: [&str; 22] = [
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "private",
        "shared",
        "slave",
    ];
    const DATA: [&str; 9] =
        ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge", "noswap"];
    match option.split_once('=') {
        Some((name, value)) => DATA.contains(&name) && !value.is_empty(),
        None => FLAGS.contains(&option) || ["rprivate", "rshared", "rslave", "noswap"].contains(&option),
    }
}

/// Go's `path.Clean` for absolute paths: no `.`, `..` or doubled slashes.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", parts.join("/"))
}

/// Checks that bind sources exist, and makes those that may be made. Blocks on the host's file systems.
pub fn check_sources(mounts: &[MountPlan]) -> Result<()> {
    for mount in mounts {
        let MountSource::Bind { source, create, .. } = &mount.what else { continue };
        match std::fs::metadata(source) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && *create => {
                std::fs::create_dir_all(source).map_err(|error| {
                    EngineError::system(
                        format!("error while creating mount source path '{}'", source.display()),
                        error,
                    )
                })?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(EngineError::invalid(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    source.display()
                )));
            }
            Err(error) => {
                return Err(EngineError::system(
                    format!("invalid mount config for type \"bind\": stat {}", source.display()),
                    error,
                ));
            }
        }
    }
    Ok(())
}

/// As Docker lists them.
pub fn mount_points(mounts: &[MountPlan]) -> Vec<MountPoint> {
    mounts
        .iter()
        .filter(|mount| !mount.unlisted)
        .map(|mount| match &mount.what {
            MountSource::Bind { source, propagation, .. } => MountPoint {
                kind: "bind".into(),
                source: source.display().to_string(),
                destination: mount.destination.clone(),
                mode: mount.mode.clone(),
                rw: !mount.read_only,
                propagation: propagation.clone(),
                ..MountPoint::default()
            },
            MountSource::Tmpfs { .. } => MountPoint {
                kind: "tmpfs".into(),
                destination: mount.destination.clone(),
                rw: !mount.read_only,
                ..MountPoint::default()
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("/a:/b", "/a → /b rw rprivate"),
            ("/a/../c/:/b//x/", "/c → /b/x rw rprivate"),
            ("/a:/b:ro", "/a → /b ro rprivate"),
            ("/a:/b:ro,rslave,z", "/a → /b ro rslave"),
            ("/a:/b:bogus", "error: invalid mode: bogus"),
            ("/a:/b:ro,rw", "error: invalid mode: ro,rw"),
            (
                "/a:b",
                "error: invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
            ),
            (
                "/a:/",
                "error: invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
            ),
            ("/a:/b:ro:x", "error: invalid volume specification: '/a:/b:ro:x'"),
            (":/b", "error: invalid volume specification: ':/b'"),
        ] {
            let got = match parse_bind(text) {
                Ok(MountPlan {
                    destination,
                    what: MountSource::Bind { source, propagation, .. },
                    read_only,
                    ..
                }) => {
                    format!(
                        "{} → {destination} {} {propagation}",
                        source.display(),
                        if read_only { "ro" } else { "rw" }
                    )
                }
                Ok(other) => format!("{other:?}"),
                Err(error) => format!("error: {error}"),
            };
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn a_tmpfs_option_replaces_the_default_it_contradicts() {
        let mount = parse_tmpfs("/t", "size=2m,mode=1770,exec").unwrap();
        let MountSource::Tmpfs { options } = mount.what else { panic!("not a tmpfs") };
        assert_eq!(options, ["nosuid", "nodev", "size=2m", "mode=1770", "exec"]);
        assert!(parse_tmpfs("/t", "bogus").is_err());
        assert!(parse_tmpfs("t", "").is_err());
    }

    #[test]
    fn one_destination_is_mounted_once() {
        let host = HostConfig {
            binds: Some(vec!["/a:/x".into()]),
            tmpfs: Some(BTreeMap::from([("/x/".into(), String::new())])),
            ..HostConfig::default()
        };
        let error = plan(&host, Vec::new(), &[], &mut Vec::new()).unwrap_err();
        assert_eq!(error.message(), "Duplicate mount point: /x");
    }

    #[test]
    fn parents_are_mounted_before_children() {
        let host =
            HostConfig { binds: Some(vec!["/a:/x/y/z".into(), "/a:/x".into()]), ..HostConfig::default() };
        let mounts = plan(&host, Vec::new(), &[], &mut Vec::new()).unwrap();
        let order: Vec<_> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(order, ["/x", "/x/y/z"]);
    }

    #[test]
    fn volumes_of_another_container_are_read_as_docker_reads_them() {
        let read = |text| match VolumesFrom::parse(text) {
            Ok(from) => format!("{} {}", from.container, if from.read_only { "ro" } else { "rw" }),
            Err(error) => error.message().to_owned(),
        };
        for (text, expected) in [
            ("one", "one rw"),
            ("one:ro", "one ro"),
            ("one:rw,z", "one rw"),
            ("one:bogus", "invalid mode: bogus"),
            ("one:shared", "invalid mode: shared"),
            ("one:nocopy", "invalid mode: nocopy"),
            ("one:ro:x", "invalid mode: ro:x"),
            ("one:ro,rw", "invalid mode: ro,rw"),
            (":ro", "invalid name or ID supplied: \"\""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn own_mounts_come_before_inherited_ones_and_later_containers_before_earlier_ones() {
        let (first, second) = (parse_bind("/a:/x").unwrap(), parse_bind("/b:/x").unwrap());
        let read_only = VolumesFrom::parse("c:ro").unwrap();
        let inherited = || vec![first.clone(), read_only.inherit(&second).unwrap()];
        let none = HostConfig::default();
        let mounts = plan(&none, inherited(), &[], &mut Vec::new()).unwrap();
        assert_eq!(mounts, [MountPlan { read_only: true, ..second.clone() }]);
        let own = HostConfig { binds: Some(vec!["/c:/x/".into()]), ..HostConfig::default() };
        let mounts = plan(&own, inherited(), &[], &mut Vec::new()).unwrap();
        assert_eq!(mounts, [parse_bind("/c:/x").unwrap()]);
        assert_eq!(read_only.inherit(&parse_tmpfs("/t", "").unwrap()), None);
    }
}
