//! Making and joining namespaces.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::runtime::{IdMapping, Linux};
use rustix::process::{Gid, Uid};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space};

use crate::error::{During, StartError};
use crate::plan::Namespaces;

/// Namespaces to join, opened.
#[derive(Debug)]
pub(crate) struct Joins(Vec<(ThreadNameSpaceType, OwnedFd)>);

impl Joins {
    pub(crate) fn open(namespaces: &Namespaces) -> Result<Self, StartError> {
        let open = |(kind, path): &(ThreadNameSpaceType, std::path::PathBuf)| {
            let file = File::open(path)
                .during(|| format!("open namespace {:?}", path.display().to_string()))
                .map_err(|error| error.about(path.display().to_string()))?;
            Ok((*kind, file.into()))
        };
        namespaces.join.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, fd)| fd.as_fd())
    }

    /// Joins them all; a user namespace last, for it takes away the rights over those outside it.
    pub(crate) fn join(&self) -> Result<(), StartError> {
        let is_user = |kind: &ThreadNameSpaceType| *kind == ThreadNameSpaceType::USER;
        for (kind, fd) in self.0.iter().filter(|(kind, _)| !is_user(kind)) {
            join_one(*kind, fd.as_fd())?;
        }
        for (kind, fd) in self.0.iter().filter(|(kind, _)| is_user(kind)) {
            join_one(*kind, fd.as_fd())?;
            become_root()?;
        }
        Ok(())
    }
}

fn join_one(kind: ThreadNameSpaceType, fd: BorrowedFd<'_>) -> Result<(), StartError> {
    let (link, name) = match kind {
        ThreadNameSpaceType::NETWORK => (LinkNameSpaceType::Network, "network"),
        ThreadNameSpaceType::PROCESS_ID => (LinkNameSpaceType::ProcessID, "pid"),
        ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME => {
            (LinkNameSpaceType::HostNameAndNISDomainName, "uts")
        }
        ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION => {
            (LinkNameSpaceType::InterProcessCommunication, "ipc")
        }
        ThreadNameSpaceType::USER => (LinkNameSpaceType::User, "user"),
        ThreadNameSpaceType::CONTROL_GROUP => (LinkNameSpaceType::ControlGroup, "cgroup"),
        ThreadNameSpaceType::TIME => (LinkNameSpaceType::Time, "time"),
        _ => return Err(StartError::refused("join namespace", "its type cannot be joined")),
    };
    move_into_link_name_space(fd, Some(link)).during(|| format!("join {name} namespace"))
}

/// Becomes root of the user namespace that was just entered: until then the ids are those of nobody there.
pub(crate) fn become_root() -> Result<(), StartError> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    let switch = || -> rustix::io::Result<()> {
        match rustix::thread::set_thread_groups(&[]) {
            // A namespace whose setgroups file says "deny"; the groups stay as they are.
            Ok(()) | Err(rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error),
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    };
    switch().during(|| "become root in the user namespace".to_owned())
}

/// Mappings as `uid_map` and `gid_map` want them.
pub(crate) fn map_lines(mappings: &[IdMapping]) -> String {
    mappings.iter().map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size)).collect()
}

/// Writes the mappings of the new user namespace of process `pid`.
pub(crate) fn write_mappings(pid: i32, linux: &Linux) -> Result<(), StartError> {
    for (file, mappings) in [("uid_map", &linux.uid_mappings), ("gid_map", &linux.gid_mappings)] {
        if mappings.is_empty() {
            let reason = format!("a new user namespace needs {file} entries");
            return Err(StartError::refused("set up the user namespace", reason));
        }
        linux::namespaces::write_map(&format!("/proc/{pid}/{file}"), &map_lines(mappings))
            .during(|| format!("write {file} of the user namespace"))?;
    }
    Ok(())
}

/// Makes a time namespace for future children, with the clocks' offsets: they can be written only while it is
/// empty.
pub(crate) fn unshare_time(linux: Option<&Linux>) -> Result<(), StartError> {
    linux::namespaces::unshare(ThreadNameSpaceType::TIME).during(|| "make a time namespace".to_owned())?;
    let offsets: String = linux
        .into_iter()
        .flat_map(|linux| &linux.time_offsets)
        .map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs))
        .collect();
    if offsets.is_empty() {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        let file = std::fs::OpenOptions::new().write(true).open("/proc/self/timens_offsets")?;
        rustix::io::write(&file, offsets.as_bytes())?;
        Ok(())
    };
    write().during(|| format!("set time offsets {offsets:?}"))
}
