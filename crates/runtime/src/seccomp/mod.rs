//! System call filters: from the specification's rules to a BPF program.
//!
//! The meaning of a rule is libseccomp's, for that is what every published profile was tried with:
//! - a call's first rule without conditions decides, wherever it stands; only without one are rules with
//!   conditions asked, in their order;
//! - a rule that says what the default says anyway is no rule;
//! - conditions of one rule must all hold, unless two of them are about the same argument: then one is enough.
//!
//! Beyond the profile, the answer is ENOSYS and not the default, unless the default lets calls pass: for numbers that no
//! kernel has, and for calls newer than the newest one the profile names. A C library that probes for a new call falls
//! back on ENOSYS, while it takes EPERM for the answer.
//!
//! x86-64 only: the native calls, i386 and x32, the last two when the filter lists them. Calls by another
//! convention kill the process; x32 ones, when not listed, do not exist (ENOSYS).
//!
//! - `rules`: the specification → rules by number, per calling convention
//! - `bpf`: rules by number → instructions
//! - `syscalls`: numbers by name

mod bpf;
mod rules;
mod syscalls;
#[cfg(test)]
mod tests;

use oci::runtime::Seccomp;

use rules::{Convention, Fallback, Rules};

/// A compiled filter: `struct sock_filter[]` in native byte order, with the flags for `seccomp(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// 8 bytes an instruction.
    pub instructions: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// Why a filter could not be compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// An action, operator or architecture that is not known.
    #[error("unknown seccomp {kind} {value:?}")]
    Unknown {
        /// `action`, `operator`, `architecture` or `flag`.
        kind: &'static str,
        /// The word as given.
        value: String,
    },
    /// Known, but nobody here could act on it.
    #[error("seccomp {0} is not supported: there is no agent to ask")]
    NeedsListener(String),
    /// An errno for an action that returns none, or one that does not fit.
    #[error("seccomp errnoRet {errno} does not go with action {action}")]
    Errno {
        /// The action.
        action: String,
        /// The number.
        errno: u32,
    },
    /// System calls have arguments 0 to 5.
    #[error("seccomp condition on argument {index} of {syscall}: there are arguments 0 to 5")]
    ArgumentIndex {
        /// First call of the rule.
        syscall: String,
        /// As given.
        index: u32,
    },
    /// The kernel takes 4,096 instructions.
    #[error("seccomp filter is too large: {0} instructions, the kernel takes 4096")]
    TooLarge(usize),
    /// Not an x86-64 machine.
    #[error("seccomp filters are supported on x86-64 only")]
    Machine,
}

/// Most instructions of a program, `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// Compiles a filter.
pub fn compile(filter: &Seccomp) -> Result<Program, SeccompError> {
    if cfg!(not(target_arch = "x86_64")) {
        return Err(SeccompError::Machine);
    }
    let default = Fallback::parse(filter)?;
    let listed = rules::conventions(&filter.architectures)?;
    let native = Rules::parse(filter, Convention::X86_64, &default)?.intervals(&default);
    let x32 = if listed.x32 {
        Rules::parse(filter, Convention::X32, &default)?.intervals(&default)
    } else {
        rules::x32_refused()
    };
    let mut sections = vec![(bpf::AUDIT_ARCH_X86_64, [native, x32].concat())];
    if listed.i386 {
        let i386 = Rules::parse(filter, Convention::I386, &default)?.intervals(&default);
        sections.push((bpf::AUDIT_ARCH_I386, i386));
    }
    let program = bpf::assemble(&sections);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLarge(program.len()));
    }
    let instructions = program.iter().flat_map(|instruction| instruction.to_bytes()).collect();
    Ok(Program { instructions, flags: rules::flags(&filter.flags)? })
}
