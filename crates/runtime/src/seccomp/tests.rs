//! The program against a naive reading of the rules, on a small BPF machine of its own.

use proptest::prelude::*;

use oci::runtime::{Seccomp, SyscallArg, SyscallRule};

use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const X32_BIT: u32 = 0x4000_0000;
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

const fn errno(number: u32) -> u32 {
    0x0005_0000 | number
}

/// `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
struct Data {
    arch: u32,
    number: u32,
    args: [u64; 6],
}

impl Data {
    fn new(arch: u32, number: u32) -> Self {
        Self { arch, number, args: [0; 6] }
    }

    fn word(&self, offset: u32) -> u32 {
        let mut bytes = Vec::new();
        bytes.extend(self.number.to_ne_bytes());
        bytes.extend(self.arch.to_ne_bytes());
        bytes.extend(0_u64.to_ne_bytes());
        self.args.iter().for_each(|arg| bytes.extend(arg.to_ne_bytes()));
        let at = offset as usize;
        u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
    }
}

/// Runs a program as the kernel does; panics where the kernel's verifier would refuse it.
fn run(program: &[u8], data: &Data) -> u32 {
    let code: Vec<(u16, u8, u8, u32)> = program
        .chunks_exact(8)
        .map(|b| (u16::from_ne_bytes([b[0], b[1]]), b[2], b[3], u32::from_ne_bytes([b[4], b[5], b[6], b[7]])))
        .collect();
    assert_eq!(program.len(), code.len() * 8);
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let (opcode, yes, no, k) = code[at];
        at += 1;
        let holds = match opcode {
            0x20 => {
                accumulator = data.word(k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            other => panic!("opcode {other:#x}"),
        };
        at += usize::from(if holds { yes } else { no });
    }
}

fn arg(index: u32, op: &str, value: u64, value_two: u64) -> SyscallArg {
    SyscallArg { index, op: format!("SCMP_CMP_{op}"), value, value_two }
}

fn rule(names: &[&str], action: &str, errno_ret: Option<u32>, args: &[SyscallArg]) -> SyscallRule {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    SyscallRule { names, action: format!("SCMP_ACT_{action}"), errno_ret, args: args.to_vec() }
}

fn filter(default: &str, architectures: &[&str], syscalls: Vec<SyscallRule>) -> Seccomp {
    Seccomp {
        default_action: format!("SCMP_ACT_{default}"),
        architectures: architectures.iter().map(|arch| format!("SCMP_ARCH_{arch}")).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

fn verdict(filter: &Seccomp, arch: u32, number: u32, args: &[u64]) -> u32 {
    let mut data = Data::new(arch, number);
    data.args[..args.len()].copy_from_slice(args);
    run(&compile(filter).unwrap().instructions, &data)
}

#[test]
fn tables_are_sorted_and_agree_with_libc() {
    for table in [&syscalls::X86_64[..], &syscalls::I386[..], &syscalls::X32_OWN[..]] {
        assert!(table.is_sorted_by(|a, b| a.0 < b.0));
    }
    for (name, number) in [("read", libc::SYS_read), ("clone3", libc::SYS_clone3), ("mseal", libc::SYS_mseal)]
    {
        assert_eq!(rules::Convention::X86_64.number(name).map(i64::from), Some(number), "{name}");
    }
    assert_eq!(rules::Convention::X32.number("execve"), Some(X32_BIT | 520));
    assert_eq!(rules::Convention::X32.number("uselib"), None);
    assert_eq!(rules::Convention::I386.number("socketcall"), Some(102));
}

#[test]
fn calls_are_answered_by_rule_default_or_enosys() {
    let rules = vec![
        rule(&["read", "write", "no_such_call", "openat2"], "ALLOW", None, &[]),
        rule(&["clone3"], "ERRNO", Some(38), &[]),
        rule(&["ptrace"], "KILL_PROCESS", None, &[]),
        rule(&["personality"], "ALLOW", None, &[arg(0, "EQ", 8, 0)]),
    ];
    let filter = filter("ERRNO", &["X86_64", "X86", "AARCH64"], rules);
    let cases = [
        ("read", X86_64, 0, &[][..], ALLOW),
        ("write on i386", I386, 4, &[], ALLOW),
        ("clone3", X86_64, 435, &[], errno(38)),
        ("ptrace", X86_64, 101, &[], KILL_PROCESS),
        ("personality 8", X86_64, 135, &[8], ALLOW),
        ("personality 9", X86_64, 135, &[9], errno(1)),
        ("personality 8 with a high half", X86_64, 135, &[1 << 32 | 8], errno(1)),
        ("mount has no rule", X86_64, 165, &[], errno(1)),
        ("a number in the gap", X86_64, 350, &[], errno(38)),
        ("newer than all that are named", X86_64, 438, &[], errno(38)),
        ("beyond the kernel", X86_64, 5000, &[], errno(38)),
        ("minus one", X86_64, u32::MAX, &[], errno(38)),
        ("x32 is not listed", X86_64, X32_BIT, &[], errno(38)),
        ("a foreign machine", AARCH64, 63, &[], KILL_PROCESS),
    ];
    for (what, arch, number, args, expected) in cases {
        assert_eq!(verdict(&filter, arch, number, args), expected, "{what}");
    }
}

#[test]
fn a_list_of_forbidden_calls_is_not_passed_by_another_convention() {
    let forbid = vec![rule(&["mount", "connect"], "ERRNO", Some(1), &[])];
    let native = filter("ALLOW", &[], forbid.clone());
    assert_eq!(verdict(&native, X86_64, 165, &[]), errno(1));
    assert_eq!(verdict(&native, X86_64, 5000, &[]), ALLOW, "a permissive filter lets new calls pass");
    assert_eq!(verdict(&native, X86_64, X32_BIT | 165, &[]), errno(38));
    assert_eq!(verdict(&native, I386, 21, &[]), KILL_PROCESS);
    let all = filter("ALLOW", &["X86", "X32"], forbid);
    assert_eq!(verdict(&all, X86_64, X32_BIT | 165, &[]), errno(1));
    assert_eq!(verdict(&all, X86_64, X32_BIT | 39, &[]), ALLOW);
    assert_eq!(verdict(&all, I386, 21, &[]), errno(1));
    assert_eq!(verdict(&all, I386, 102, &[3]), errno(1), "connect by socketcall");
    assert_eq!(verdict(&all, I386, 102, &[1]), ALLOW, "socket by socketcall");
}

#[test]
fn an_unconditional_rule_decides_wherever_it_stands() {
    let conditional = rule(&["dup"], "ERRNO", Some(9), &[arg(0, "EQ", 1, 0)]);
    let rules = vec![conditional, rule(&["dup"], "ALLOW", None, &[]), rule(&["dup"], "KILL", None, &[])];
    assert_eq!(verdict(&filter("ERRNO", &[], rules), X86_64, 32, &[1]), ALLOW);
    let redundant = vec![rule(&["dup"], "ERRNO", Some(1), &[]), rule(&["dup"], "ALLOW", None, &[])];
    assert_eq!(verdict(&filter("ERRNO", &[], redundant), X86_64, 32, &[1]), ALLOW);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let either = rule(&["dup"], "ALLOW", None, &[arg(0, "EQ", 1, 0), arg(0, "EQ", 2, 0)]);
    let both = rule(&["dup2"], "ALLOW", None, &[arg(0, "EQ", 1, 0), arg(1, "EQ", 2, 0)]);
    let filter = filter("ERRNO", &[], vec![either, both]);
    assert_eq!([1, 2, 3].map(|fd| verdict(&filter, X86_64, 32, &[fd])), [ALLOW, ALLOW, errno(1)]);
    assert_eq!(
        [[1, 2], [1, 3], [2, 2]].map(|args| verdict(&filter, X86_64, 33, &args)),
        [ALLOW, errno(1), errno(1)]
    );
}

#[test]
fn what_cannot_be_compiled_is_refused_by_name() {
    let with = |change: fn(&mut Seccomp)| {
        let mut filter = filter("ERRNO", &[], vec![rule(&["dup"], "ALLOW", None, &[arg(0, "EQ", 1, 0)])]);
        change(&mut filter);
        compile(&filter).unwrap_err().to_string()
    };
    type Case = (fn(&mut Seccomp), &'static str);
    let cases: [Case; 9] = [
        (|f| f.default_action = "X".into(), "unknown seccomp action \"X\""),
        (|f| f.architectures = vec!["Y".into()], "unknown seccomp architecture \"Y\""),
        (|f| f.flags = vec!["Z".into()], "unknown seccomp flag \"Z\""),
        (|f| f.syscalls[0].args[0].op = "EQ".into(), "unknown seccomp operator \"EQ\""),
        (
            |f| f.syscalls[0].args[0].index = 6,
            "seccomp condition on argument 6 of dup: there are arguments 0 to 5",
        ),
        (|f| f.syscalls[0].errno_ret = Some(1), "seccomp errnoRet 1 does not go with action SCMP_ACT_ALLOW"),
        (
            |f| f.default_errno_ret = Some(4096),
            "seccomp errnoRet 4096 does not go with action SCMP_ACT_ERRNO",
        ),
        (
            |f| f.syscalls[0].action = "SCMP_ACT_NOTIFY".into(),
            "seccomp action SCMP_ACT_NOTIFY is not supported: there is no agent to ask",
        ),
        (
            |f| f.flags = vec!["SECCOMP_FILTER_FLAG_NEW_LISTENER".into()],
            "seccomp flag SECCOMP_FILTER_FLAG_NEW_LISTENER is not supported: there is no agent to ask",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(with(change), message);
    }
    let many = (0..2000).map(|value| rule(&["dup"], "ALLOW", None, &[arg(0, "EQ", value, 0)])).collect();
    assert!(matches!(compile(&filter("ERRNO", &[], many)), Err(SeccompError::TooLarge(_))));
}

#[test]
fn flags_are_those_given_or_spec_allow() {
    let with = |flags: &[&str]| {
        let flags = flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect();
        compile(&Seccomp { flags, ..filter("ALLOW", &[], Vec::new()) }).unwrap().flags
    };
    assert_eq!([with(&[]), with(&["LOG"]), with(&["TSYNC", "LOG", "SPEC_ALLOW"])], [4, 2, 7]);
}

/// The rules read word by word, without intervals, trees or halves.
fn naive(filter: &Seccomp, data: &Data) -> u32 {
    let value = |action: &str, errno_ret: Option<u32>| match action {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        _ => errno(errno_ret.unwrap_or(1)),
    };
    let default = value(&filter.default_action, filter.default_errno_ret);
    let x32 = data.arch == X86_64 && data.number >= X32_BIT;
    let listed = |arch: &str| filter.architectures.iter().any(|known| known == arch);
    let convention = match data.arch {
        X86_64 if x32 && !listed("SCMP_ARCH_X32") => return errno(38),
        X86_64 if x32 => rules::Convention::X32,
        X86_64 => rules::Convention::X86_64,
        I386 if listed("SCMP_ARCH_X86") => rules::Convention::I386,
        _ => return KILL_PROCESS,
    };
    let width = if data.arch == I386 { u64::from(u32::MAX) } else { u64::MAX };
    let holds = |arg: &SyscallArg| {
        let (actual, value, two) = (data.args[arg.index as usize], arg.value & width, arg.value_two & width);
        match arg.op.as_str() {
            "SCMP_CMP_EQ" => actual == value,
            "SCMP_CMP_NE" => actual != value,
            "SCMP_CMP_LT" => actual < value,
            "SCMP_CMP_LE" => actual <= value,
            "SCMP_CMP_GT" => actual > value,
            "SCMP_CMP_GE" => actual >= value,
            _ => actual & value == two & value,
        }
    };
    let mut conditional = None;
    let mut newest = 0;
    for rule in &filter.syscalls {
        let numbers: Vec<u32> = rule.names.iter().filter_map(|name| convention.number(name)).collect();
        newest = numbers.iter().copied().fold(newest, u32::max);
        let verdict = value(&rule.action, rule.errno_ret);
        if verdict == default || !numbers.contains(&data.number) {
            continue;
        }
        let mut indexes: Vec<u32> = rule.args.iter().map(|arg| arg.index).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let alternatives = indexes.len() != rule.args.len();
        if rule.args.is_empty() {
            return verdict;
        }
        if if alternatives { rule.args.iter().any(holds) } else { rule.args.iter().all(holds) } {
            conditional.get_or_insert(verdict);
        }
    }
    let known = all_numbers(convention).contains(&data.number) && data.number <= newest;
    match conditional {
        Some(verdict) => verdict,
        None if known || [ALLOW, 0x7ffc_0000].contains(&default) => default,
        None => errno(38),
    }
}

fn all_numbers(convention: rules::Convention) -> Vec<u32> {
    let tables = syscalls::X86_64.iter().chain(&syscalls::I386);
    tables.filter_map(|(name, _)| convention.number(name)).collect()
}

/// Names that exist everywhere, somewhere, nowhere; old ones and new ones; neighbours.
const SAMPLE: [&str; 14] = [
    "read",
    "write",
    "open",
    "dup",
    "dup2",
    "socket",
    "clone",
    "personality",
    "prctl",
    "openat2",
    "close_range",
    "chown32",
    "mseal",
    "no_such_call",
];

fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        (1_u64 << 32)..(1 << 32) + 4,
        any::<u64>()
    ]
}

fn any_arg() -> impl Strategy<Value = SyscallArg> {
    let op = prop::sample::select(vec!["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]);
    (0_u32..6, op, any_value(), any_value()).prop_map(|(index, op, value, two)| arg(index, op, value, two))
}

fn any_action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    prop::sample::select(vec![
        ("ALLOW", None),
        ("LOG", None),
        ("TRAP", None),
        ("ERRNO", None),
        ("ERRNO", Some(1)),
        ("ERRNO", Some(38)),
    ])
}

prop_compose! {
    fn any_rule()(
        names in prop::collection::vec(prop::sample::select(SAMPLE.to_vec()), 1..4),
        action in any_action(),
        args in prop_oneof![Just(Vec::new()), prop::collection::vec(any_arg(), 1..4)],
    ) -> SyscallRule {
        rule(&names, action.0, action.1, &args)
    }
}

prop_compose! {
    fn any_filter()(
        default in any_action(),
        architectures in prop::sample::subsequence(vec!["X86_64", "X86", "X32", "ARM"], 0..=4),
        rules in prop::collection::vec(any_rule(), 0..12),
    ) -> Seccomp {
        Seccomp { default_errno_ret: default.1, ..filter(default.0, &architectures, rules) }
    }
}

prop_compose! {
    fn any_call()(
        arch in prop::sample::select(vec![X86_64, X86_64, X86_64, I386, AARCH64]),
        name in prop::sample::select(SAMPLE.to_vec()),
        other in prop_oneof![0_u32..600, X32_BIT..X32_BIT + 600, any::<u32>()],
        named in prop::bool::weighted(0.8),
        x32 in prop::bool::weighted(0.2),
        args in prop::array::uniform6(any_value()),
    ) -> Data {
        let convention = match arch {
            I386 => rules::Convention::I386,
            _ if x32 => rules::Convention::X32,
            _ => rules::Convention::X86_64,
        };
        let number = convention.number(name).filter(|_| named).unwrap_or(other);
        let args = if arch == I386 { args.map(|arg| arg & u64::from(u32::MAX)) } else { args };
        Data { arch, number, args }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_says_what_the_rules_say(
        filter in any_filter(),
        calls in prop::collection::vec(any_call(), 30),
    ) {
        let program = compile(&filter).unwrap().instructions;
        for call in calls {
            // The functions of socketcall and ipc are looked at in a test of their own.
            if call.arch == I386 && [102, 117].contains(&call.number) {
                continue;
            }
            prop_assert_eq!(run(&program, &call), naive(&filter, &call), "{:?}", call);
        }
    }
}
