//! The program's own circumstances: identity, limits, directory, descriptors, and why it does not run.

use std::os::fd::AsRawFd;

use oci::runtime::{Capabilities, Rlimit, Seccomp, SyscallRule};

use crate::bundle::Bundle;

/// `key: value` of /proc/self/status.
fn status(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}

#[test]
fn exit_codes_are_the_programs() {
    let mut bundle = Bundle::new("exit");
    assert_eq!(bundle.sh("exit 7").code, Some(7));
    assert_eq!(bundle.sh("exit 0").code, Some(0));
    // Process 1 is immune to its own signals; its child is not.
    assert_eq!(bundle.sh("sh -c 'kill -9 $$'; exit $?").code, Some(137));
}

#[test]
fn a_program_that_cannot_be_run_is_explained_in_the_words_clients_know() {
    let mut bundle = Bundle::new("missing");
    bundle.put("file", "text");
    bundle.put_program("text", "neither ELF nor script");
    for (program, code, text) in [
        ("no-such", 127, "exec: \"no-such\": executable file not found in $PATH"),
        ("/nope", 127, "exec: \"/nope\": stat /nope: no such file or directory"),
        ("./nope", 127, "exec: \"./nope\": stat ./nope: no such file or directory"),
        ("/file/x", 125, "exec: \"/file/x\": stat /file/x: not a directory"),
        ("/file", 126, "exec: \"/file\": permission denied"),
        ("/etc", 126, "exec: \"/etc\": is a directory: permission denied"),
        ("/text", 126, "exec: \"/text\": exec format error: it is neither an ELF program nor a script"),
        ("", 127, "exec: \"\": executable file not found in $PATH"),
    ] {
        let error = bundle.run(&[program]).fails(code);
        let init = "unable to start container process: error during container init: ";
        assert!(error.contains(&format!("{init}{text}")), "{program}: {error}");
    }
}

/// The smallest ELF file with a loader.
fn elf(machine: u16, loader: &str) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend(2_u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(0x40_0000_u64.to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 12]);
    for value in [64_u16, 56, 2, 0, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    let size = loader.len() as u64 + 1;
    // PT_LOAD, then PT_INTERP: type, flags, offset, two addresses, two sizes, alignment.
    for (kind, offset, address, size) in [(1_u32, 0, 0x40_0000, 256), (3, 176, 0x40_00b0, size)] {
        file.extend(kind.to_le_bytes());
        file.extend(5_u32.to_le_bytes());
        for value in [offset, address, address, size, size, 0x1000] {
            file.extend(u64::to_le_bytes(value));
        }
    }
    file.extend(loader.as_bytes());
    file.resize(256, 0);
    file
}

#[test]
fn a_missing_loader_is_named() {
    let mut bundle = Bundle::new("loader");
    bundle.put_program("dynamic", elf(62, "/lib64/ld-nowhere.so.2"));
    bundle.put_program("script", "#! /usr/bin/perl6 -w\n");
    bundle.put_program("foreign", elf(183, "/lib/ld.so"));
    for (program, code, texts) in [
        ("/dynamic", 127, ["the dynamic loader /lib64/ld-nowhere.so.2", "no such file or directory"]),
        ("/script", 127, ["the interpreter /usr/bin/perl6", "no such file or directory"]),
        ("/foreign", 126, ["built for aarch64, this machine is x86_64", "exec format error"]),
    ] {
        let error = bundle.run(&[program]).fails(code);
        assert!(texts.iter().all(|text| error.contains(text)), "{program}: {error}");
    }
}

#[test]
fn capabilities_are_exactly_those_listed() {
    let mut bundle = Bundle::new("caps");
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    bundle.process().capabilities = Some(Capabilities {
        bounding: names(&["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]),
        effective: names(&["CAP_CHOWN"]),
        permitted: names(&["CAP_CHOWN", "CAP_KILL"]),
        inheritable: names(&["CAP_KILL"]),
        ambient: names(&["CAP_KILL"]),
    });
    bundle.process().user.uid = 1000;
    let text = bundle.run(&["cat", "/proc/self/status"]).ok();
    // Without root only the ambient set survives execve.
    for (key, value) in [
        ("CapInh", "0000000000000020"),
        ("CapPrm", "0000000000000020"),
        ("CapEff", "0000000000000020"),
        ("CapBnd", "0000000000002021"),
        ("CapAmb", "0000000000000020"),
    ] {
        assert_eq!(status(&text, key), value, "{key}");
    }
    bundle.process().user.uid = 0;
    bundle.process().capabilities = None;
    let text = bundle.run(&["cat", "/proc/self/status"]).ok();
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(&text, key), "0000000000000000", "{key}");
    }
}

#[test]
fn a_capability_that_cannot_be_had_is_logged_not_fatal() {
    let mut bundle = Bundle::new("caplog");
    bundle.process().capabilities =
        Some(Capabilities { bounding: vec!["CAP_FLY".into()], ..Capabilities::default() });
    let log = bundle.directory.join("log");
    let command = bundle.run_command(&["true"]);
    // Global options come first.
    let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut command = std::process::Command::new(command.get_program());
    command.arg("--log").arg(&log).arg("--log-format=json").args(words);
    assert!(command.status().unwrap().success());
    let line = std::fs::read_to_string(&log).unwrap();
    let entry: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(entry["level"], "warning");
    assert!(entry["msg"].as_str().unwrap().contains("CAP_FLY"));
}

#[test]
fn filters_and_no_new_privs_are_in_force() {
    let mut bundle = Bundle::new("seccomp");
    let rule = SyscallRule {
        names: vec!["chmod".into(), "fchmodat".into(), "fchmodat2".into()],
        action: "SCMP_ACT_ERRNO".into(),
        errno_ret: Some(95),
        ..SyscallRule::default()
    };
    let filter =
        Seccomp { default_action: "SCMP_ACT_ALLOW".into(), syscalls: vec![rule], ..Seccomp::default() };
    bundle.linux().seccomp = Some(filter);
    for no_new_privileges in [false, true] {
        bundle.process().no_new_privileges = no_new_privileges;
        let text = bundle.sh("cat /proc/self/status; chmod 700 /tmp 2>&1; true").ok();
        assert_eq!(status(&text, "Seccomp"), "2");
        assert_eq!(status(&text, "NoNewPrivs"), if no_new_privileges { "1" } else { "0" });
        assert!(text.contains("Operation not supported"), "{text}");
    }
}

#[test]
fn limits_are_set_and_an_impossible_one_is_named() {
    let mut bundle = Bundle::new("limits");
    bundle.process().rlimits = vec![
        Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 99, hard: 111 },
        Rlimit { kind: "RLIMIT_CORE".into(), soft: 0, hard: 0 },
    ];
    for uid in [0, 1000] {
        bundle.process().user.uid = uid;
        let text = bundle.run(&["cat", "/proc/self/limits"]).ok();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("Max open files").contains("99") && line("Max open files").contains("111"), "uid {uid}");
    }
    bundle.process().rlimits = vec![Rlimit { kind: "RLIMIT_BOGUS".into(), soft: 1, hard: 1 }];
    assert!(bundle.run(&["true"]).fails(125).contains("set rlimit RLIMIT_BOGUS: there is no such limit"));
    // CAP_SYS_RESOURCE, which this machine may not give.
    if linux::caps::permitted().unwrap() & linux::caps::bit("CAP_SYS_RESOURCE").unwrap() == 0 {
        bundle.process().rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 1024, hard: 9_999_999 }];
        let error = bundle.run(&["true"]).fails(125);
        for text in ["RLIMIT_NOFILE", "9999999", "CAP_SYS_RESOURCE", "operation not permitted"] {
            assert!(error.contains(text), "{error}");
        }
    }
}

#[test]
fn the_oom_score_is_set_or_refused_with_the_missing_capability() {
    let mut bundle = Bundle::new("oom");
    bundle.process().oom_score_adj = Some(321);
    assert_eq!(bundle.run(&["cat", "/proc/self/oom_score_adj"]).ok(), "321\n");
    bundle.process().oom_score_adj = Some(-1000);
    let answer = bundle.run(&["cat", "/proc/self/oom_score_adj"]);
    if linux::caps::permitted().unwrap() & linux::caps::bit("CAP_SYS_RESOURCE").unwrap() == 0 {
        let error = answer.fails(125);
        for text in ["set oom_score_adj -1000", "operation not permitted", "CAP_SYS_RESOURCE"] {
            assert!(error.contains(text), "{error}");
        }
    } else {
        assert_eq!(answer.ok(), "-1000\n");
    }
}

#[test]
fn user_groups_umask_and_home_are_as_asked() {
    let mut bundle = Bundle::new("user");
    let process = bundle.process();
    process.user.uid = 1000;
    process.user.gid = 1001;
    process.user.additional_gids = vec![5, 7];
    process.user.umask = Some(0o077);
    let text = bundle.sh("id -u; id -g; id -G; umask; echo $HOME; cat /proc/self/status").ok();
    let lines: Vec<_> = text.lines().take(5).collect();
    assert_eq!(lines, ["1000", "1001", "1001 5 7", "0077", "/home/app"]);
    bundle.process().env.push("HOME=/elsewhere".into());
    assert_eq!(bundle.sh("echo $HOME").ok(), "/elsewhere\n");
}

#[test]
fn the_working_directory_is_made_inside() {
    let mut bundle = Bundle::new("cwd");
    bundle.process().cwd = "/new/deep".into();
    assert_eq!(bundle.run(&["pwd"]).ok(), "/new/deep\n");
    bundle.process().cwd = "/etc/passwd".into();
    let error = bundle.run(&["pwd"]).fails(125);
    let text = "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory";
    assert!(error.contains(text), "{error}");
    bundle.process().cwd = "relative".into();
    assert!(bundle.run(&["pwd"]).fails(125).contains("it is not an absolute path"));
}

#[test]
fn no_descriptor_leads_the_working_directory_out() {
    let mut bundle = Bundle::new("leaky");
    let outside = std::fs::File::open("/").unwrap();
    // As a careless caller would leave it: open across execve.
    rustix::io::fcntl_setfd(&outside, rustix::io::FdFlags::empty()).unwrap();
    for fd in 3..20 {
        bundle.process().cwd = format!("/proc/self/fd/{fd}");
        let answer = bundle.sh("ls -d /proc/1/cwd/home /proc/1/cwd/work; pwd");
        assert_ne!(answer.code, Some(0), "fd {fd}: {answer:?}");
    }
}

#[test]
fn only_standard_and_preserved_descriptors_reach_the_program() {
    let mut bundle = Bundle::new("fds");
    let leak = std::fs::File::open("/etc").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let list = "for fd in /proc/self/fd/*; do readlink $fd; done; true";
    // The shell itself opens the directory and, for scripts, nothing else.
    let out = bundle.sh(list).ok();
    assert!(!out.contains("/etc") && !out.contains("socket"), "{out}");
    let mut command = bundle.run_command(&["sh", "-c", "cat <&3"]);
    let kept = std::fs::File::open("/etc/hostname").unwrap();
    let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
    // Through a shell, which puts the file on 3.
    let program = command.get_program().to_str().unwrap().to_owned();
    let script = format!(
        "exec 3</proc/{}/fd/{}; exec {program} {}",
        std::process::id(),
        kept.as_raw_fd(),
        words.join(" ").replace(" run ", " run --preserve-fds 1 ")
    );
    command = std::process::Command::new("/bin/sh");
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(output.stdout, std::fs::read("/etc/hostname").unwrap(), "{output:?}");
}

#[test]
fn signals_are_as_a_fresh_program_expects() {
    let mut bundle = Bundle::new("signals");
    let text = bundle.run(&["cat", "/proc/self/status"]).ok();
    for key in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(status(&text, key), "0000000000000000", "{key}");
    }
}

#[test]
fn scheduler_io_priority_and_personality_are_the_kernels_answer() {
    let mut bundle = Bundle::new("scheduling");
    let process = r#"{"scheduler": {"policy": "SCHED_BATCH", "nice": 7},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}}"#;
    let wanted: oci::runtime::Process = serde_json::from_str(process).unwrap();
    bundle.process().scheduler = wanted.scheduler;
    bundle.process().io_priority = wanted.io_priority;
    bundle.linux().personality = serde_json::from_str(r#"{"domain": "LINUX32"}"#).unwrap();
    // Nice and policy are fields 19 and 41 of stat.
    let script = "cut -d' ' -f 19,41 /proc/self/stat; ionice -p $$; uname -m; cat /proc/self/personality";
    let out = bundle.sh(script).ok();
    let lines: Vec<_> = out.lines().collect();
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { lines[2] };
    assert_eq!(lines, ["7 3", "best-effort: prio 6", machine, "00000008"]);

    bundle.start();
    let exec = bundle.exec(&[&bundle.id, "sh", "-c", "cut -d' ' -f 19,41 /proc/self/stat; uname -m"]).ok();
    assert_eq!(exec.lines().collect::<Vec<_>>(), ["7 3", machine]);
}

#[test]
fn nonsense_about_scheduling_and_missing_security_modules_is_refused_by_name() {
    let mut bundle = Bundle::new("refused");
    bundle.process().scheduler = serde_json::from_str(r#"{"policy": "SCHED_WISH"}"#).unwrap();
    let error = bundle.sh("true").fails(125);
    assert!(error.contains("SCHED_WISH") && error.contains("SCHED_OTHER"), "{error}");
    bundle.process().scheduler = None;
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        bundle.process().apparmor_profile = Some("some-profile".into());
        let error = bundle.sh("true").fails(125);
        assert!(
            error.contains("AppArmor profile \"some-profile\": this kernel runs without AppArmor"),
            "{error}"
        );
        bundle.process().apparmor_profile = None;
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        bundle.process().selinux_label = Some("a:b:c:d".into());
        let error = bundle.sh("true").fails(125);
        assert!(error.contains("SELinux label \"a:b:c:d\": this kernel runs without SELinux"), "{error}");
        bundle.process().selinux_label = None;
    }
    if !std::path::Path::new("/sys/fs/resctrl/schemata").exists() {
        bundle.linux().intel_rdt = serde_json::from_str(r#"{"l3CacheSchema": "L3:0=f"}"#).unwrap();
        let error = bundle.sh("true").fails(1);
        assert!(error.contains("there is no resctrl file system at /sys/fs/resctrl"), "{error}");
    }
}

#[test]
fn an_execd_process_runs_on_the_processors_that_it_names() {
    let mut bundle = Bundle::new("affinity");
    bundle.process().exec_cpu_affinity = serde_json::from_str(r#"{"initial": "0", "final": "0"}"#).unwrap();
    bundle.start();
    let allowed = bundle.exec(&[&bundle.id, "grep", "Cpus_allowed_list", "/proc/self/status"]).ok();
    assert_eq!(status(&allowed, "Cpus_allowed_list"), "0");
}
