//! The specification's rules, sorted by calling convention and call number.

use std::collections::{BTreeMap, BTreeSet};

use oci::runtime::{Seccomp, SyscallArg, SyscallRule};

use super::{SeccompError, syscalls};

/// Bit of every x32 call number.
const X32_BIT: u32 = 0x4000_0000;

// SECCOMP_RET_*, linux/seccomp.h.
const RET_KILL_THREAD: u32 = 0;
const RET_KILL_PROCESS: u32 = super::bpf::RET_KILL_PROCESS;
const RET_TRAP: u32 = 0x0003_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Largest errno the kernel returns.
const MAX_ERRNO: u32 = 4095;

/// How a program enters the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convention {
    X86_64,
    X32,
    I386,
}

impl Convention {
    pub(super) fn number(self, name: &str) -> Option<u32> {
        match self {
            Self::X86_64 => lookup(&syscalls::X86_64, name),
            Self::I386 => lookup(&syscalls::I386, name),
            Self::X32 if syscalls::X32_ABSENT.contains(&name) => None,
            Self::X32 => lookup(&syscalls::X32_OWN, name)
                .or_else(|| lookup(&syscalls::X86_64, name))
                .map(|number| number | X32_BIT),
        }
    }

    /// Every number that a kernel has.
    fn known(self) -> BTreeSet<u32> {
        let names: &[(&str, u32)] = match self {
            Self::I386 => &syscalls::I386,
            Self::X86_64 | Self::X32 => &syscalls::X86_64,
        };
        names.iter().filter_map(|(name, _)| self.number(name)).collect()
    }

    fn first(self) -> u32 {
        if self == Self::X32 { X32_BIT } else { 0 }
    }
}

fn lookup(table: &[(&str, u32)], name: &str) -> Option<u32> {
    table.binary_search_by_key(&name, |&(known, _)| known).ok().map(|found| table[found].1)
}

/// Conventions beside the native one that a filter covers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed {
    pub(super) i386: bool,
    pub(super) x32: bool,
}

/// Architectures of other machines, which a profile may name and which mean nothing here.
const FOREIGN: [&str; 18] = [
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
];

pub(super) fn conventions(names: &[String]) -> Result<Listed, SeccompError> {
    let mut listed = Listed::default();
    for name in names {
        match name.as_str() {
            "SCMP_ARCH_X86" => listed.i386 = true,
            "SCMP_ARCH_X32" => listed.x32 = true,
            "SCMP_ARCH_X86_64" | "SCMP_ARCH_NATIVE" => {}
            foreign if FOREIGN.contains(&foreign) => {}
            _ => return Err(SeccompError::Unknown { kind: "architecture", value: name.clone() }),
        }
    }
    Ok(listed)
}

/// `SECCOMP_FILTER_FLAG_*` by name. None given: `SPEC_ALLOW`, as runc does; the mitigation that it switches off on
/// kernels before 5.16 slows down every program for the sake of those that run foreign code inside themselves.
pub(super) fn flags(names: &[String]) -> Result<u32, SeccompError> {
    const TSYNC: u32 = 1;
    const LOG: u32 = 2;
    const SPEC_ALLOW: u32 = 4;
    if names.is_empty() {
        return Ok(SPEC_ALLOW);
    }
    let one = |name: &String| match name.as_str() {
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(TSYNC),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(LOG),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(SPEC_ALLOW),
        "SECCOMP_FILTER_FLAG_NEW_LISTENER" | "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => {
            Err(SeccompError::NeedsListener(format!("flag {name}")))
        }
        _ => Err(SeccompError::Unknown { kind: "flag", value: name.clone() }),
    };
    names.iter().try_fold(0, |flags, name| Ok(flags | one(name)?))
}

/// An action as a filter's return value.
fn verdict(action: &str, errno: Option<u32>) -> Result<u32, SeccompError> {
    let bad_errno = |errno| SeccompError::Errno { action: action.to_owned(), errno };
    let with_data = |verdict: u32, most| match errno.unwrap_or(EPERM) {
        data if data <= most => Ok(verdict | data),
        data => Err(bad_errno(data)),
    };
    let value = match action {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => RET_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => RET_KILL_PROCESS,
        "SCMP_ACT_TRAP" => RET_TRAP,
        "SCMP_ACT_ERRNO" => return with_data(RET_ERRNO, MAX_ERRNO),
        "SCMP_ACT_TRACE" => return with_data(RET_TRACE, u32::from(u16::MAX)),
        "SCMP_ACT_LOG" => RET_LOG,
        "SCMP_ACT_ALLOW" => RET_ALLOW,
        "SCMP_ACT_NOTIFY" => return Err(SeccompError::NeedsListener(format!("action {action}"))),
        _ => return Err(SeccompError::Unknown { kind: "action", value: action.to_owned() }),
    };
    match errno {
        Some(errno) => Err(bad_errno(errno)),
        None => Ok(value),
    }
}

/// What happens to calls without a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fallback {
    verdict: u32,
    /// For calls that the profile's author could not know.
    unknown: u32,
}

impl Fallback {
    pub(super) fn parse(filter: &Seccomp) -> Result<Self, SeccompError> {
        let verdict = verdict(&filter.default_action, filter.default_errno_ret)?;
        // A tracer is expected to know calls that the profile does not.
        let passes = [RET_ALLOW, RET_LOG, RET_TRACE].contains(&(verdict & 0xffff_0000));
        Ok(Self { verdict, unknown: if passes { verdict } else { RET_ERRNO | ENOSYS } })
    }
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `argument & value == value_two`.
    MaskedEqual,
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) op: Op,
    pub(super) value: u64,
    pub(super) value_two: u64,
    /// Arguments are 64 bits, not 32.
    pub(super) wide: bool,
}

impl Condition {
    fn parse(arg: &SyscallArg, rule: &SyscallRule, convention: Convention) -> Result<Self, SeccompError> {
        if arg.index > 5 {
            let syscall = rule.names.first().cloned().unwrap_or_default();
            return Err(SeccompError::ArgumentIndex { syscall, index: arg.index });
        }
        let op = match arg.op.as_str() {
            "SCMP_CMP_EQ" => Op::Equal,
            "SCMP_CMP_NE" => Op::NotEqual,
            "SCMP_CMP_LT" => Op::Less,
            "SCMP_CMP_LE" => Op::LessEqual,
            "SCMP_CMP_GT" => Op::Greater,
            "SCMP_CMP_GE" => Op::GreaterEqual,
            "SCMP_CMP_MASKED_EQ" => Op::MaskedEqual,
            _ => return Err(SeccompError::Unknown { kind: "operator", value: arg.op.clone() }),
        };
        let wide = convention != Convention::I386;
        let width = if wide { u64::MAX } else { u64::from(u32::MAX) };
        Ok(Self { index: arg.index, op, value: arg.value & width, value_two: arg.value_two & width, wide })
    }
}

/// A verdict under conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: u32,
}

/// What happens to the calls of one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    Return(u32),
    Conditional { rules: Vec<Rule>, otherwise: u32 },
}

/// Calls from `start` up to the next interval's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) start: u32,
    pub(super) leaf: Leaf,
}

/// Interval of a program that does not have x32: those calls do not exist, whatever the default says, else a list of
/// forbidden calls would be passed by their x32 numbers.
pub(super) fn x32_refused() -> Vec<Interval> {
    vec![Interval { start: X32_BIT, leaf: Leaf::Return(RET_ERRNO | ENOSYS) }]
}

/// Rules of one call.
#[derive(Debug, Default)]
struct Call {
    unconditional: Option<u32>,
    conditional: Vec<Rule>,
}

/// Rules of one calling convention.
#[derive(Debug)]
pub(super) struct Rules {
    convention: Convention,
    calls: BTreeMap<u32, Call>,
    /// Newest call that the profile names.
    newest: u32,
}

impl Rules {
    pub(super) fn parse(
        filter: &Seccomp,
        convention: Convention,
        default: &Fallback,
    ) -> Result<Self, SeccompError> {
        let mut rules = Self { convention, calls: BTreeMap::new(), newest: 0 };
        for rule in &filter.syscalls {
            let verdict = verdict(&rule.action, rule.errno_ret)?;
            let conditions: Vec<Condition> = rule
                .args
                .iter()
                .map(|arg| Condition::parse(arg, rule, convention))
                .collect::<Result<_, _>>()?;
            for name in &rule.names {
                rules.add(name, verdict, &conditions, default);
            }
        }
        Ok(rules)
    }

    fn add(&mut self, name: &str, verdict: u32, conditions: &[Condition], default: &Fallback) {
        let number = self.convention.number(name);
        self.newest = self.newest.max(number.unwrap_or(0));
        if verdict == default.verdict {
            return;
        }
        if let Some(number) = number {
            self.calls.entry(number).or_default().add(verdict, conditions);
        }
        if self.convention == Convention::I386 && conditions.is_empty() {
            self.add_multiplexed(name, verdict);
        }
    }

    /// i386 reaches sockets and System V IPC also through one call each, with the function as its first argument.
    /// A rule with conditions cannot follow there: the arguments are in memory.
    fn add_multiplexed(&mut self, name: &str, verdict: u32) {
        let function =
            |table: &[(&str, u64)]| table.iter().find(|(known, _)| *known == name).map(|&(_, code)| code);
        let (entry, code) = match (function(&SOCKETCALL), function(&IPC)) {
            (Some(code), _) => ("socketcall", code),
            (None, Some(code)) => ("ipc", code),
            (None, None) => return,
        };
        let equal = Condition { index: 0, op: Op::Equal, value: code, value_two: 0, wide: false };
        if let Some(number) = self.convention.number(entry) {
            self.calls.entry(number).or_default().add(verdict, &[equal]);
        }
    }

    /// Every call number of the convention, with what happens to it.
    pub(super) fn intervals(mut self, default: &Fallback) -> Vec<Interval> {
        let known = self.convention.known();
        let first = self.convention.first();
        let last = known.last().copied().unwrap_or(first);
        let mut intervals: Vec<Interval> = Vec::new();
        for number in first..=last + 1 {
            let leaf = match self.calls.remove(&number) {
                Some(call) => call.leaf(default),
                None if known.contains(&number) && number <= self.newest => Leaf::Return(default.verdict),
                None => Leaf::Return(default.unknown),
            };
            if intervals.last().is_none_or(|previous| previous.leaf != leaf) {
                intervals.push(Interval { start: number, leaf });
            }
        }
        intervals
    }
}

impl Call {
    fn add(&mut self, verdict: u32, conditions: &[Condition]) {
        let repeated = conditions.iter().enumerate().any(|(at, condition)| {
            conditions.iter().take(at).any(|earlier| earlier.index == condition.index)
        });
        match conditions {
            [] => {
                self.unconditional.get_or_insert(verdict);
            }
            _ if repeated => self
                .conditional
                .extend(conditions.iter().map(|&condition| Rule { conditions: vec![condition], verdict })),
            _ => self.conditional.push(Rule { conditions: conditions.to_vec(), verdict }),
        }
    }

    fn leaf(self, default: &Fallback) -> Leaf {
        match self.unconditional {
            Some(verdict) => Leaf::Return(verdict),
            None => Leaf::Conditional { rules: self.conditional, otherwise: default.verdict },
        }
    }
}

/// Functions of socketcall(2), linux/net.h.
const SOCKETCALL: [(&str, u64); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// Functions of ipc(2), linux/ipc.h.
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
