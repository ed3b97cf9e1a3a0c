//! `tmpcopyup`: a new tmpfs begins with what the image has at its place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};

/// Deepest tree that is copied; the image chooses it, and every level holds two descriptors.
const MAX_DEPTH: u32 = 256;

/// Copies what is below directory `from` into directory `to`; modes and owners are kept.
pub(crate) fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    copy_directory(from, to, 0)
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(from, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let stat = rustix::fs::statat(&readable, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let below = open_below(readable.as_fd(), name, flags)?;
                let target = open_below(to, name, flags)?;
                copy_directory(below.as_fd(), target.as_fd(), depth + 1)?;
                own(target.as_fd(), &stat, mode)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&readable, name, Vec::new())?;
                rustix::fs::symlinkat(&*target, to, name)?;
                let (uid, gid) = owner(&stat);
                rustix::fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileType::RegularFile => {
                let mut source = File::from(open_below(readable.as_fd(), name, OFlags::RDONLY)?);
                let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let mut copy = File::from(rustix::fs::openat(to, name, create, Mode::RUSR)?);
                io::copy(&mut source, &mut copy)?;
                own(copy.as_fd(), &stat, mode)?;
            }
            // Sockets, FIFOs and devices have no content to begin with.
            _ => {}
        }
    }
    Ok(())
}

fn open_below(dir: BorrowedFd<'_>, name: &std::ffi::CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

fn own(fd: BorrowedFd<'_>, stat: &Stat, mode: Mode) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(fd, uid, gid)?;
    // After the owner, whose change takes setuid bits away.
    Ok(rustix::fs::fchmod(fd, mode)?)
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}
