//! Reading and writing the files of a cgroup directory.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// An open cgroup directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) path: String,
}

impl Directory {
    /// None when there is no such directory.
    pub(super) fn open(path: String) -> io::Result<Option<Self>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(context(error.into(), &format!("cannot open cgroup {path}"))),
        }
    }

    pub(super) fn has(&self, file: &str) -> bool {
        rustix::fs::accessat(&self.fd, file, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
    }

    /// Opens a file for writing; several values can follow.
    pub(super) fn writer(&self, file: &str) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(&self.fd, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Writes one value in one `write`, the unit that the kernel parses.
    pub(super) fn write(&self, file: &str, value: &str) -> rustix::io::Result<()> {
        write_value(&self.writer(file)?, value)
    }

    /// Like `write`, with an error that says what was to be set where.
    pub(super) fn set(&self, file: &str, value: &str) -> io::Result<()> {
        self.write(file, value).map_err(|error| self.cannot_set(file, value, error))
    }

    pub(super) fn cannot_set(&self, file: &str, value: &str, error: Errno) -> io::Error {
        context(error.into(), &format!("cgroup {}: cannot set {file} to {value:?}", self.path))
    }

    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        let fd = rustix::fs::openat(&self.fd, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text)?;
        Ok(text)
    }

    /// A file with one number; `max` and what cannot be read are none.
    pub(super) fn number(&self, file: &str) -> Option<u64> {
        self.read(file).ok()?.trim().parse().ok()
    }

    /// A number in a file of `key value` lines.
    pub(super) fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        let text = self.read(file).ok()?;
        keyed(&text).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Names of the cgroups directly below.
    pub(super) fn children(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.readable()?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if entry.file_type() == rustix::fs::FileType::Directory && name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        Ok(names)
    }

    /// Directory reads need more than `O_PATH`.
    pub(super) fn readable(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, ".", flags, Mode::empty())
    }

    /// Adds the pids in this cgroup and those below to `pids`.
    pub(super) fn collect_pids(&self, pids: &mut Vec<i32>) -> io::Result<()> {
        match self.read("cgroup.procs") {
            Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
            Err(error) if gone(&error) => return Ok(()),
            // A threaded v2 cgroup has no processes, only threads; its domain lists them.
            Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {}
            Err(error) => {
                return Err(context(error, &format!("cgroup {}: cannot list processes", self.path)));
            }
        }
        for name in self.children().or_else(|error| if gone(&error) { Ok(Vec::new()) } else { Err(error) })? {
            if let Some(child) = Self::open(format!("{}/{name}", self.path))? {
                child.collect_pids(pids)?;
            }
        }
        Ok(())
    }
}

/// The cgroup was removed meanwhile.
fn gone(error: &io::Error) -> bool {
    [Errno::NODEV, Errno::NOENT].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Writes one value to an open cgroup file.
pub(super) fn write_value(fd: impl AsFd, value: &str) -> rustix::io::Result<()> {
    loop {
        match rustix::io::write(&fd, value.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lines of the form `key value`.
pub(super) fn keyed(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// An error that says first what was done.
pub(super) fn context(error: io::Error, doing: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}

/// Makes a directory and its parents. `each` runs for every directory on the way, the last one included, just after it
/// is known to exist. True: the last one is new.
pub(super) fn make_path(
    mount: &str,
    path: &str,
    mut each: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<bool> {
    let mut made = false;
    for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        let directory = format!("{mount}{}", &path[..at]);
        made = match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(context(error.into(), &format!("cannot make cgroup {directory}"))),
        };
        each(&directory)?;
    }
    Ok(made)
}

/// Makes the last directory of a path, and its parents only when they are missing.
pub(super) fn make_leaf(mount: &str, path: &str) -> io::Result<()> {
    let directory = format!("{mount}{path}");
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) if path.matches('/').count() > 1 => {
            make_path(mount, path, |_| Ok(()))?;
            Ok(())
        }
        Err(Errno::EXIST) => reuse(&directory),
        Err(error) => Err(context(error.into(), &format!("cannot make cgroup {directory}"))),
    }
}

/// A leftover is replaced, so that no limit of its former owner stays; one in use is not ours to take.
pub(super) fn reuse(directory: &str) -> io::Result<()> {
    let again =
        rustix::fs::rmdir(directory).and_then(|()| rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755)));
    again.map_err(|error| context(error.into(), &format!("cgroup {directory} exists and is in use")))
}

/// Moves the tasks of the cgroup directory `from` to `into` and removes it, with what is below it.
pub(super) fn dissolve(into: &Directory, from: &str, deadline: Instant) -> io::Result<()> {
    loop {
        match rustix::fs::rmdir(from) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) if Instant::now() < deadline => {}
            Err(error) => return Err(context(error.into(), &format!("cannot remove cgroup {from}"))),
        }
        let Some(directory) = Directory::open(from.to_owned())? else { return Ok(()) };
        let mut pids = Vec::new();
        directory.collect_pids(&mut pids)?;
        if pids.is_empty() {
            // A task that is dying, or a cgroup that somebody made below.
            return remove_tree(from, deadline);
        }
        for pid in pids {
            match into.write("cgroup.procs", &pid.to_string()) {
                // Ended, or just being born: the next look tells.
                Ok(()) | Err(Errno::SRCH | Errno::INVAL) => {}
                Err(error) => return Err(into.cannot_set("cgroup.procs", &pid.to_string(), error)),
            }
        }
    }
}

/// Removes a cgroup and those below it. Tasks that were killed take a moment to leave, so it tries until `deadline`.
pub(super) fn remove_tree(path: &str, deadline: Instant) -> io::Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(error @ (Errno::BUSY | Errno::NOTEMPTY)) => {
                let Some(directory) = Directory::open(path.to_owned())? else { return Ok(()) };
                let children = directory.children()?;
                for child in &children {
                    remove_tree(&format!("{path}/{child}"), deadline)?;
                }
                if Instant::now() >= deadline {
                    return Err(context(error.into(), &format!("cannot remove cgroup {path}")));
                }
                if children.is_empty() {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(5));
                }
            }
            Err(error) => return Err(context(error.into(), &format!("cannot remove cgroup {path}"))),
        }
    }
}
