//! Tables: what a profile becomes.

use oci::runtime::{Seccomp, SyscallRule};

use super::*;

const KERNEL: KernelVersion = KernelVersion { version: 6, major: 1 };

/// Bounding set, and calls with their answers.
type Answers = (&'static [&'static str], &'static [(&'static str, &'static str)]);

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn rules<'a>(profile: &'a Seccomp, name: &str) -> Vec<&'a SyscallRule> {
    profile.syscalls.iter().filter(|rule| rule.names.iter().any(|known| known == name)).collect()
}

/// `allow`, `deny` (no rule), `enosys` or `conditional`.
fn answer(profile: &Seccomp, name: &str) -> &'static str {
    match rules(profile, name).as_slice() {
        [] => "deny",
        some if some.iter().any(|rule| rule.args.is_empty() && rule.action == "SCMP_ACT_ALLOW") => "allow",
        [only] if only.errno_ret == Some(38) => "enosys",
        _ => "conditional",
    }
}

#[test]
fn the_standard_profile_answers_by_capability() {
    let cases: &[Answers] = &[
        (
            &["CAP_SYS_CHROOT"],
            &[
                ("read", "allow"),
                ("ptrace", "allow"),
                ("arch_prctl", "allow"),
                ("chroot", "allow"),
                ("clone", "conditional"),
                ("clone3", "enosys"),
                ("socket", "conditional"),
                ("personality", "conditional"),
                ("mount", "deny"),
                ("unshare", "deny"),
                ("setns", "deny"),
                ("bpf", "deny"),
                ("keyctl", "deny"),
                ("add_key", "deny"),
                ("io_uring_setup", "deny"),
                ("userfaultfd", "deny"),
                ("kexec_load", "deny"),
                ("open_by_handle_at", "deny"),
                ("process_madvise", "deny"),
            ],
        ),
        (&[], &[("chroot", "deny"), ("reboot", "deny"), ("init_module", "deny"), ("settimeofday", "deny")]),
        (
            &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"],
            &[
                ("clone", "allow"),
                ("clone3", "allow"),
                ("mount", "allow"),
                ("bpf", "allow"),
                ("process_madvise", "allow"),
                ("open_by_handle_at", "allow"),
                ("keyctl", "deny"),
            ],
        ),
        (&["CAP_BPF", "CAP_SYSLOG"], &[("bpf", "allow"), ("syslog", "allow"), ("mount", "deny")]),
    ];
    for (bounding, answers) in cases {
        let profile = standard(&own(bounding), Socketcall::Deny);
        for (name, expected) in *answers {
            assert_eq!(answer(&profile, name), *expected, "{name} with {bounding:?}");
        }
    }
}

#[test]
fn exactly_two_address_families_are_closed() {
    let profile = standard(&[], Socketcall::Deny);
    let allowed = |family: u64| {
        let masks = rules(&profile, "socket").into_iter().map(|rule| &rule.args[0]);
        masks.into_iter().any(|mask| family & mask.value == mask.value_two)
    };
    for family in 0..48 {
        assert_eq!(allowed(family), ![38, 40].contains(&family), "family {family}");
    }
    assert!(!allowed(1 << 32 | 40) && allowed(1 << 32 | 2), "only the low half counts, as in the kernel");
}

#[test]
fn socketcall_is_a_choice() {
    assert_eq!(answer(&standard(&[], Socketcall::Deny), "socketcall"), "enosys");
    assert_eq!(answer(&standard(&[], Socketcall::Allow), "socketcall"), "allow");
}

#[test]
fn the_standard_profile_compiles_small() {
    for bounding in [own(&[]), own(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_NICE"])] {
        let program = runtime::seccomp::compile(&standard(&bounding, Socketcall::Deny)).unwrap();
        assert!(program.instructions.len() / 8 < 600, "{} instructions", program.instructions.len() / 8);
    }
}

#[test]
fn a_users_profile_is_reduced_to_the_rules_that_hold() {
    let json = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 22,
        "archMap": [
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}
        ],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
            {"name": "old", "action": "SCMP_ACT_ALLOW", "args": null},
            {"names": ["admin"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["both"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}},
            {"names": ["chown"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["notchown"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_X", "CAP_CHOWN"]}},
            {"names": ["notadmin"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["amd"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64", "amd64"]}},
            {"names": ["notamd"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}},
            {"names": ["here"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.1"}},
            {"names": ["before"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.20"}},
            {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
             "args": [{"index": 1, "value": 2114060288, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]}
        ]
    }"#;
    let circumstances = Circumstances { bounding: &own(&["CAP_CHOWN"]), kernel: KERNEL };
    let profile = parse(json, circumstances).unwrap().unwrap();
    let names: Vec<&str> = profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str).collect();
    assert_eq!(names, ["read", "write", "old", "chown", "notadmin", "amd", "here", "clone"]);
    assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    assert_eq!(profile.flags, ["SECCOMP_FILTER_FLAG_LOG"]);
    assert_eq!((profile.default_action.as_str(), profile.default_errno_ret), ("SCMP_ACT_ERRNO", Some(22)));
    let clone = rules(&profile, "clone")[0];
    assert_eq!((clone.errno_ret, clone.args[0].index, clone.args[0].value_two), (Some(38), 1, 3));
}

#[test]
fn a_profile_that_says_nothing_is_no_filter() {
    let circumstances = Circumstances { bounding: &[], kernel: KERNEL };
    assert_eq!(parse("{}", circumstances).unwrap(), None);
    assert_eq!(parse(r#"{"syscalls": []}"#, circumstances).unwrap(), None);
    assert!(parse(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, circumstances).unwrap().is_some());
}

#[test]
fn refusals_have_dockers_words() {
    let cases = [
        ("{", "Decoding seccomp profile failed"),
        ("[]", "Decoding seccomp profile failed"),
        (r#"{"syscalls": [{"names": ["a"]}]}"#, "Decoding seccomp profile failed"),
        (
            r#"{"defaultAction": "X", "architectures": ["A"], "archMap": [{"architecture": "B"}]}"#,
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or \
             'archMap'",
        ),
        (
            r#"{"syscalls": [{"name": "a", "names": ["b"], "action": "X"}]}"#,
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
        ),
        (
            r#"{"syscalls": [{"name": "a", "action": "X", "includes": {"minKernel": "4"}}]}"#,
            r#"invalid kernel version: "4", expected "<kernel>.<major>""#,
        ),
        (
            r#"{"syscalls": [{"name": "a", "action": "X", "excludes": {"minKernel": "4.8.1"}}]}"#,
            r#"invalid kernel version: "4.8.1", expected "<kernel>.<major>""#,
        ),
    ];
    for (json, message) in cases {
        let error = parse(json, Circumstances { bounding: &[], kernel: KERNEL }).unwrap_err();
        assert_eq!(error.to_string(), message, "{json}");
    }
}

#[test]
fn releases_have_two_numbers_that_count() {
    let cases = [("6.18.44-fc-v669", (6, 18)), ("3.12-1-amd64", (3, 12)), ("5.14", (5, 14)), ("x", (0, 0))];
    for (release, (version, major)) in cases {
        assert_eq!(KernelVersion::of_release(release), KernelVersion { version, major }, "{release}");
    }
}
