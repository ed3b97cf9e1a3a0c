//! Running from a read-only view of our own file.
//!
//! A program in a container can be made to execute `/proc/self/exe`, that is: this file, and may then write to it
//! through the link (CVE-2019-5736). A read-only mount of the file alone, attached nowhere, makes that fail whatever
//! the container is allowed to do. One more `execve`, no copy.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use linux::mount::{Attributes, clone_tree, set_attributes};
use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::mount::MountAttrFlags;

use super::{Failure, Naming};

const SELF: &str = "/proc/self/exe";

/// Starts over from a read-only mount, unless this is one already or we may not mount (then the file is not ours
/// to protect: without privileges here, the container has none over it either).
pub(crate) fn reexecute(program: &OsString, words: &[OsString]) -> Result<(), Failure> {
    let read_only = rustix::fs::statvfs(SELF)
        .naming(|| format!("look at {SELF}"))?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY);
    if read_only {
        // The kernel named the process after a descriptor.
        let _ = rustix::thread::set_name(c"corten-runtime");
        return Ok(());
    }
    let Ok(file) = clone_tree(CWD, SELF, false) else { return Ok(()) };
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
    set_attributes(&file, false, &Attributes { set, ..Attributes::default() })
        .naming(|| "make own file read-only".to_owned())?;
    let c_string = |word: &OsString| CString::new(word.as_bytes()).naming(|| "read arguments".to_owned());
    let args = std::iter::once(program).chain(words).map(c_string).collect::<Result<Vec<_>, _>>()?;
    let env: Vec<_> = std::env::vars_os()
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect();
    let error = linux::process::execve_fd(file.as_fd(), &args, &env);
    Err(Failure::new(format_args!("execute own file: {error}")))
}
