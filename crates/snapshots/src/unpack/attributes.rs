//! Owners, extended attributes, modes and times, in the order in which none undoes another.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use archive::tar::{Header, Kind, Time};
use linux::fs::set_xattr;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::settings::Settings;

/// Owner, extended attributes and mode of what was just made. A change of the owner takes capabilities and set-id
/// bits away, so it comes first.
pub(super) fn set(settings: &Settings, dir: BorrowedFd<'_>, name: &OsStr, header: &Header) -> io::Result<()> {
    set_owner(settings, dir, name, header)?;
    set_xattrs(dir, name, header)?;
    if header.kind != Kind::Symlink {
        rustix::fs::chmodat(dir, name, Mode::from_raw_mode(header.mode), AtFlags::empty())?;
    }
    Ok(())
}

pub(super) fn set_owner(
    settings: &Settings,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    header: &Header,
) -> io::Result<()> {
    let (uid, gid) = ids(settings, header)?;
    Ok(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(super) fn set_owner_of(settings: &Settings, file: &File, header: &Header) -> io::Result<()> {
    let (uid, gid) = ids(settings, header)?;
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

fn ids(settings: &Settings, header: &Header) -> io::Result<(Uid, Gid)> {
    let shifted = |id: u64| {
        // The highest number means "leave as it is" to the kernel.
        u32::try_from(id)
            .ok()
            .and_then(|id| id.checked_add(settings.id_shift))
            .filter(|&id| id != u32::MAX)
            .ok_or_else(|| io::Error::other(format!("user or group id {id} is out of range")))
    };
    Ok((Uid::from_raw(shifted(header.uid)?), Gid::from_raw(shifted(header.gid)?)))
}

pub(super) fn set_xattrs(dir: BorrowedFd<'_>, name: &OsStr, header: &Header) -> io::Result<()> {
    for (key, value) in &header.xattrs {
        if archive::is_overlays_own(key) {
            continue;
        }
        match set_xattr(dir, name, OsStr::from_bytes(key), value) {
            // A file system or namespace that cannot hold it: Docker goes on as well.
            Err(error)
                if [Errno::OPNOTSUPP, Errno::PERM]
                    .map(Errno::raw_os_error)
                    .contains(&error.raw_os_error().unwrap_or(0)) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Access and modification time.
pub(super) fn times(header: &Header) -> (Time, Time) {
    (header.atime.unwrap_or(header.mtime), header.mtime)
}

pub(super) fn set_times(dir: BorrowedFd<'_>, name: &OsStr, times: (Time, Time)) -> io::Result<()> {
    Ok(rustix::fs::utimensat(dir, name, &timestamps(times), AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(super) fn timestamps((atime, mtime): (Time, Time)) -> Timestamps {
    let timespec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) as _ };
    Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) }
}
