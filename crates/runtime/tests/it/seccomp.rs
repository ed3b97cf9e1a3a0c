//! Compiled filters, asked by the kernel. A filter belongs to a thread, so each test gives its own up.

use std::io;

use oci::runtime::{Seccomp, SyscallArg, SyscallRule};

/// Runs `check` on a thread under `filter`.
fn under<T: Send + 'static>(filter: &Seccomp, check: impl FnOnce() -> T + Send + 'static) -> T {
    let program = runtime::seccomp::compile(filter).unwrap();
    let thread = std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        linux::bpf::install_seccomp(&program.instructions, program.flags).unwrap();
        check()
    });
    thread.join().unwrap()
}

#[test]
fn the_kernel_takes_the_program_and_obeys() {
    let dup = SyscallRule {
        names: vec!["dup".into()],
        action: "SCMP_ACT_ERRNO".into(),
        errno_ret: Some(95),
        args: vec![SyscallArg { index: 0, op: "SCMP_CMP_EQ".into(), value: 0, value_two: 0 }],
    };
    let filter = Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        architectures: vec!["SCMP_ARCH_X86_64".into(), "SCMP_ARCH_X86".into()],
        flags: vec!["SECCOMP_FILTER_FLAG_LOG".into(), "SECCOMP_FILTER_FLAG_SPEC_ALLOW".into()],
        syscalls: vec![dup],
        ..Seccomp::default()
    };
    let (first, second) = under(&filter, || {
        (rustix::io::dup(rustix::stdio::stdin()), rustix::io::dup(rustix::stdio::stdout()))
    });
    assert_eq!(first.unwrap_err(), rustix::io::Errno::OPNOTSUPP);
    assert!(second.is_ok());
}

#[test]
fn a_program_that_is_none_is_refused() {
    let error = linux::bpf::install_seccomp(&[0xff; 8], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
