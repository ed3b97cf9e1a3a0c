//! Finding the program to run, and explaining why it does not run. Works in the container's root, as its user.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};

use crate::error::{StartError, reason};

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds `name` as a shell does: as it is when it contains a slash, else in the directories of `path`.
pub(crate) fn look_up(name: &str, path: Option<&str>) -> Result<CString, StartError> {
    let step = || format!("exec: {name:?}");
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => c_path(Path::new(name)),
            Err(error) => {
                let failed = StartError::new(step(), error).about(name);
                // The texts of Go's os/exec, which clients know.
                Err(match failed.errno() {
                    libc::EACCES => failed,
                    libc::EISDIR => failed.because(libc::EISDIR, "is a directory: permission denied"),
                    errno => {
                        let text = format!("stat {name}: {}", reason(&io::Error::from_raw_os_error(errno)));
                        failed.because(errno, text)
                    }
                })
            }
        };
    }
    let directories = path.unwrap_or(DEFAULT_PATH).split(':');
    let found = directories
        .filter(|_| !name.is_empty())
        // An empty element is the working directory.
        .map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name))
        .find(|candidate| executable(candidate).is_ok());
    match found {
        Some(program) => c_path(&program),
        None => Err(StartError::refused(step(), "executable file not found in $PATH")
            .because(libc::ENOENT, "executable file not found in $PATH")
            .about(name)),
    }
}

fn c_path(path: &Path) -> Result<CString, StartError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| StartError::refused(format!("exec: {path:?}"), "it contains a NUL byte"))
}

fn executable(path: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    // Root may "execute" anything by access(2); the kernel then wants one x bit.
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Why `execve` of `program`, which [`look_up`] had found, answered `error`.
pub(crate) fn explain(name: &str, program: &CString, error: io::Error) -> StartError {
    let failed = StartError::new(format!("exec: {name:?}"), error).about(name);
    let path = Path::new(std::ffi::OsStr::from_bytes(program.as_bytes()));
    let word = reason(&io::Error::from_raw_os_error(failed.errno()));
    let because = match (failed.errno(), Needs::of(path)) {
        (libc::ENOENT | libc::ENOTDIR, Some(Needs::Loader(loader))) if !loader.exists() => format!(
            "the dynamic loader {} that this program needs is missing in the image: {word}",
            loader.display()
        ),
        (libc::ENOENT | libc::ENOTDIR, Some(Needs::Interpreter(interpreter))) if !interpreter.exists() => {
            format!(
                "the interpreter {} of this script is missing in the image: {word}",
                interpreter.display()
            )
        }
        (libc::EACCES, Some(Needs::Loader(file) | Needs::Interpreter(file)))
            if executable(&file).is_err() =>
        {
            format!("{}, which this program is started with, is not executable: {word}", file.display())
        }
        (libc::ENOEXEC, Some(Needs::Machine(machine))) => {
            format!("{word}: the program is built for {machine}, this machine is {}", std::env::consts::ARCH)
        }
        (libc::ENOEXEC, None) => {
            format!("{word}: it is neither an ELF program nor a script that begins with #!")
        }
        _ => return failed,
    };
    let errno = failed.errno();
    failed.because(errno, because)
}

/// What a program cannot run without.
#[derive(Debug, PartialEq, Eq)]
enum Needs {
    /// The ELF file's PT_INTERP.
    Loader(PathBuf),
    /// A script's `#!` line.
    Interpreter(PathBuf),
    /// An ELF file for another architecture, by name.
    Machine(String),
    /// Nothing but the kernel.
    Nothing,
}

impl Needs {
    /// None for a file that is neither ELF nor script, or cannot be read.
    fn of(path: &Path) -> Option<Self> {
        // A FIFO or device that took the program's place must not hold us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut head = [0_u8; 256];
        let length = file.read(&mut head).ok()?;
        let head = &head[..length];
        if let Some(line) = head.strip_prefix(b"#!") {
            let line = line.split(|byte| *byte == b'\n').next()?;
            let word = line.split(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty())?;
            return Some(Self::Interpreter(PathBuf::from(std::ffi::OsStr::from_bytes(word))));
        }
        elf_needs(&mut file, head)
    }
}

/// Reads the program headers of a little-endian ELF file of either class.
fn elf_needs(file: &mut File, head: &[u8]) -> Option<Needs> {
    const PT_INTERP: u64 = 3;
    let head = head.get(..64).filter(|head| head.starts_with(b"\x7fELF"))?;
    let wide = head[4] == 2;
    if head[5] != 1 {
        return Some(Needs::Machine("a big-endian machine".into()));
    }
    let machine = number(head, 18, 2)?;
    if !native_machines().contains(&machine) {
        return Some(Needs::Machine(machine_name(machine)));
    }
    let (table, entry_size, count) = if wide {
        (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?)
    } else {
        (number(head, 28, 4)?, number(head, 42, 2)?, number(head, 44, 2)?)
    };
    for index in 0..count.min(128) {
        let mut entry = [0_u8; 56];
        let entry = &mut entry[..if wide { 56 } else { 32 }];
        file.seek(SeekFrom::Start(table.checked_add(index * entry_size)?)).ok()?;
        file.read_exact(entry).ok()?;
        if number(entry, 0, 4)? == PT_INTERP {
            let (offset, size) = if wide {
                (number(entry, 8, 8)?, number(entry, 32, 8)?)
            } else {
                (number(entry, 4, 4)?, number(entry, 16, 4)?)
            };
            let mut name = vec![0_u8; usize::try_from(size).ok().filter(|size| *size <= 4096)?];
            file.seek(SeekFrom::Start(offset)).ok()?;
            file.read_exact(&mut name).ok()?;
            let name = name.split(|byte| *byte == 0).next()?;
            return Some(Needs::Loader(PathBuf::from(std::ffi::OsStr::from_bytes(name))));
        }
    }
    Some(Needs::Nothing)
}

fn number(bytes: &[u8], offset: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset + size)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// `e_machine` values that this kernel may run itself.
fn native_machines() -> &'static [u64] {
    match std::env::consts::ARCH {
        "x86_64" => &[62, 3],
        "aarch64" => &[183, 40],
        "riscv64" => &[243],
        _ => &[],
    }
}

fn machine_name(machine: u64) -> String {
    match machine {
        3 => "x86".into(),
        8 => "mips".into(),
        20 => "powerpc".into(),
        21 => "powerpc64".into(),
        22 => "s390x".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv64".into(),
        258 => "loongarch64".into(),
        other => format!("ELF machine {other}"),
    }
}
