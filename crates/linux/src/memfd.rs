//! Anonymous files in memory (`memfd_create(2)`), to hand a document to another process.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create};
use rustix::io::{Errno, pread, write};

/// Makes a memfd that holds `parts` one after another and can no longer change.
///
/// `name` shows up in `/proc/<pid>/fd`. The descriptor is close-on-exec.
pub fn sealed(name: &str, parts: &[&[u8]]) -> io::Result<OwnedFd> {
    let memfd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            match write(&memfd, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(memfd)
}

/// Reads the whole of a memfd, wherever its offset stands, if it is a regular file of at most `limit` bytes.
pub fn read(memfd: BorrowedFd<'_>, limit: u64) -> io::Result<Vec<u8>> {
    let stat = fstat(memfd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{size} bytes, at most {limit}")));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match pread(memfd, &mut bytes[filled..], filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn parts_come_back_as_one_and_cannot_be_changed() {
        let memfd = sealed("test", &[b"ab", b"", b"cd"]).unwrap();
        assert_eq!(read(memfd.as_fd(), 4).unwrap(), b"abcd");
        assert_eq!(write(&memfd, b"x"), Err(Errno::PERM));
    }

    #[test]
    fn a_file_past_the_limit_is_refused_unread() {
        let memfd = sealed("test", &[b"abcde"]).unwrap();
        assert_eq!(read(memfd.as_fd(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
