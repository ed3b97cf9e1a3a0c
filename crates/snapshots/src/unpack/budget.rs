//! What an archive may cost: bounded by the configured maximum and by the space that is really free.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::UnpackError;
use crate::settings::Settings;

/// Bytes after which free space is looked at again.
const STEP_BYTES: u64 = 32 << 20;
/// Entries after which free inodes are looked at again.
const STEP_ENTRIES: u64 = 4096;
/// Inodes left free.
const INODE_RESERVE: u64 = 1024;

pub(super) struct Budget {
    file_system: OwnedFd,
    maximum: Option<u64>,
    reserve: u64,
    bytes: u64,
    entries: u64,
    checked_bytes: u64,
}

impl Budget {
    pub(super) fn new(root: BorrowedFd<'_>, settings: &Settings) -> Result<Self, UnpackError> {
        let budget = Self {
            file_system: root.try_clone_to_owned().map_err(UnpackError::Store)?,
            maximum: settings.max_unpacked,
            reserve: settings.reserve,
            bytes: 0,
            entries: 0,
            checked_bytes: 0,
        };
        budget.check_free()?;
        Ok(budget)
    }

    /// `count` more bytes of the plain archive were read.
    pub(super) fn bytes(&mut self, count: u64) -> Result<(), UnpackError> {
        self.bytes += count;
        if let Some(maximum) = self.maximum.filter(|&maximum| self.bytes > maximum) {
            return Err(UnpackError::TooLarge { maximum });
        }
        if self.bytes - self.checked_bytes >= STEP_BYTES {
            self.checked_bytes = self.bytes;
            self.check_free()?;
        }
        Ok(())
    }

    /// One more entry was read.
    pub(super) fn entry(&mut self) -> Result<(), UnpackError> {
        self.entries += 1;
        if self.entries.is_multiple_of(STEP_ENTRIES) { self.check_free() } else { Ok(()) }
    }

    /// Bytes read so far.
    pub(super) fn total(&self) -> u64 {
        self.bytes
    }

    fn check_free(&self) -> Result<(), UnpackError> {
        let (bytes, inodes) = free_space(self.file_system.as_fd()).map_err(UnpackError::Store)?;
        if bytes < self.reserve || inodes.is_some_and(|inodes| inodes < INODE_RESERVE) {
            return Err(UnpackError::NoSpace { reserve: self.reserve });
        }
        Ok(())
    }
}

/// Free bytes and inodes of the file system that holds `fd`; `None` where inodes are not counted (btrfs).
fn free_space(fd: BorrowedFd<'_>) -> io::Result<(u64, Option<u64>)> {
    let stat = rustix::fs::fstatvfs(fd)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), (stat.f_files > 0).then_some(stat.f_favail)))
}
