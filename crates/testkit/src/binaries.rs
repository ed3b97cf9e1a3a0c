//! Where the programs under test are, and that they are static.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names of the programs that make up Corten.
pub const NAMES: [&str; 3] = ["corten", "corten-shim", "corten-runtime"];

/// The directory of the programs under test: `$CORTEN_BIN`, else the one that cargo built this test into.
///
/// # Panics
/// When no such directory is found.
pub fn dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CORTEN_BIN") {
        return dir.into();
    }
    let test = std::env::current_exe().expect("path of the test program");
    // target/<tuple>/debug/deps/it-0123: the programs are one level up.
    let deps = test.parent().expect("folder of the test program");
    deps.parent().expect("target directory").to_owned()
}

/// The same as text, for `$PATH`.
pub(crate) fn path() -> String {
    dir().display().to_string()
}

/// Path of one program, which must have been built.
///
/// # Panics
/// When it is not there.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let path = dir().join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build -p corten -p shim -p runtime`, or set CORTEN_BIN",
        path.display()
    );
    path
}

/// Whether the ELF file asks for a program interpreter (`PT_INTERP`), which means it is linked dynamically.
pub fn wants_loader(program: &Path) -> io::Result<bool> {
    const PT_INTERP: u32 = 3;
    let bytes = fs::read(program)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not a 64-bit little-endian ELF file");
    let field = |at: usize, length: usize| bytes.get(at..at + length).ok_or_else(broken);
    let half = |at| field(at, 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    if field(0, 6)? != b"\x7fELF\x02\x01" {
        return Err(broken());
    }
    let table = field(32, 8)?.try_into().map(u64::from_le_bytes).map_err(|_| broken())?;
    let table = usize::try_from(table).map_err(|_| broken())?;
    let (size, count) = (half(54)?, half(56)?);
    for entry in 0..count {
        let kind = field(table + entry * size, 4)?;
        if u32::from_le_bytes([kind[0], kind[1], kind[2], kind[3]]) == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_wants_a_loader_and_this_static_test_does_not() {
        assert!(wants_loader(Path::new("/bin/sh")).unwrap());
        assert!(!wants_loader(&std::env::current_exe().unwrap()).unwrap());
        assert!(wants_loader(Path::new("/etc/passwd")).is_err());
    }
}
