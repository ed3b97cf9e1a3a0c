//! Log files as functions of bytes: for the fuzz targets in `fuzz/` and for the tests that run them.

use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use crate::logs;

/// Reads a log file from its begin and from its end.
pub fn log_file(bytes: &[u8]) {
    let Ok(file) = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC) else { return };
    let mut file = std::fs::File::from(file);
    if file.write_all(bytes).is_ok() {
        logs::read_through(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    }
}
