//! Processes that want out: what a program gets from the engine, and what it can do with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testkit::Host;

use crate::hostile_paths::image;

const USERS: &str = "printf 'root:x:0:0::/:/bin/sh\\n1000:x:0:0::/:/bin/sh\\nbig:x:4294967296:4294967296::/:/bin/sh\\n\
    neg:x:-1:-1::/:/bin/sh\\nwww:x:33:33::/:/bin/sh\\n' >etc/passwd && \
    printf 'root:x:0:\\nstaff:x:50:www\\nwww:x:33:\\n44:x:0:\\n' >etc/group";

#[test]
fn numbers_are_users_by_number_and_none_wraps_around_to_root() {
    let host = Host::with_busybox();
    image(&host, "users", USERS);
    host.run("corten run -d --name job users sleep 1000").exits(0);
    let who = "sh -c 'grep -E \"^(Uid|Gid|Groups)\" /proc/self/status | cut -f 2'";
    for (user, wanted) in [
        ("1000", "1000\n0\n0[..]"),
        ("1000:44", "1000\n44\n44[..]"),
        ("1000:", "1000\n0\n0[..]"),
        ("www", "33\n33\n33 50[..]"),
        ("33", "33\n33\n33 50[..]"),
        ("33:44", "33\n44\n44[..]"),
        ("www:staff", "33\n50\n50[..]"),
        ("5:6", "5\n6\n6[..]"),
    ] {
        host.run(&format!("corten run --rm -u {user} users {who}")).prints(wanted);
        host.run(&format!("corten exec -u {user} job {who}")).prints(wanted);
    }
    let range = "uids and gids must be in range 0-2147483647";
    for (user, words) in [
        ("big", range),
        ("neg", range),
        ("4294967296", range),
        ("2147483648", range),
        ("-1", range),
        ("0:4294967296", range),
        ("0x0", "unable to find user 0x0"),
        ("\" 0\"", "unable to find user  0"),
        ("\"0 \"", "unable to find user 0 "),
        ("1000abc", "unable to find user 1000abc"),
        ("5:nogroup", "unable to find group nogroup"),
    ] {
        host.run(&format!("corten run --rm -u {user} users id")).fails_with(words).exits(125);
        let output = host.run(&format!("corten exec -u {user} job cat /proc/self/status"));
        assert!(
            output.code() != 0 && !output.stdout().contains("Uid:"),
            "exec -u {user}: {}",
            output.stdout()
        );
    }
}

#[test]
fn no_descriptor_of_the_host_reaches_a_process() {
    let host = Host::with_busybox();
    let canary = host.file("canary", "SECRET").display().to_string();
    // The shell's own, and nothing else but the three.
    let fds = "ls /proc/self/fd";
    for options in ["", "-i", "--init", "--log-driver none"] {
        host.run(&format!("corten run --rm {options} busybox {fds} </dev/null")).prints("0\n1\n2\n3");
    }
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    host.run("corten exec job ls /proc/1/fd").prints("0\n1\n2");
    host.run(&format!("corten exec job {fds}")).prints("0\n1\n2\n3");
    host.run(&format!("corten exec -u 33 job {fds}")).prints("0\n1\n2\n3");
    host.run("corten exec job sh -c 'readlink /proc/1/fd/*' | grep -v -e ^pipe: -e ^/dev/null$; true")
        .prints("");
    let climb = format!("cat ../../../../../../../../../..{canary}");
    for number in 3..12 {
        for way in ["proc/self/fd", "proc/1/fd"] {
            let run = host.run(&format!("corten run --rm -w /{way}/{number} busybox {climb} 2>&1"));
            let exec = host.run(&format!("corten exec -w /{way}/{number} job {climb} 2>&1"));
            for output in [run, exec] {
                assert!(!output.stdout().contains("SECRET"), "{way}/{number} leads out: {}", output.stdout());
                assert_ne!(output.code(), 0);
            }
        }
    }
}

#[test]
fn capabilities_are_never_inheritable_and_other_users_have_none() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    host.run("corten run -d --name strong --privileged busybox sleep 1000").exits(0);
    let of = |line: &str| host.run(&format!("{line} grep ^Cap /proc/self/status")).exits(0).stdout();
    let set = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a set of capabilities")
    };
    for line in [
        "corten run --rm busybox",
        "corten run --rm --cap-add ALL busybox",
        "corten run --rm --privileged busybox",
        "corten exec job",
        "corten exec --privileged job",
        "corten exec strong",
    ] {
        let text = of(line);
        assert_eq!((set(&text, "CapInh"), set(&text, "CapAmb")), (0, 0), "{line}: {text}");
        assert_ne!(set(&text, "CapEff"), 0, "{line}");
    }
    for line in [
        "corten run --rm -u 1000 busybox",
        "corten exec -u 1000 job",
        "corten run --rm --cap-drop ALL busybox",
    ] {
        let text = of(line);
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(set(&text, name), 0, "{line}: {text}");
        }
    }
}

#[test]
fn the_engines_programs_cannot_be_written_from_inside() {
    let host = Host::with_busybox();
    let sums = || {
        host.run("d=$(dirname $(readlink -f $(command -v corten))); sha256sum $d/corten $d/corten-shim")
            .line()
    };
    let before = sums();
    image(&host, "trap", "printf '#!/proc/self/exe\\n' >evil && chmod 755 evil");
    let overwrite = "for i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]*; do \
        (echo broken >$p/exe) 2>/dev/null; done; done; true";
    host.run("corten run -d --name job --cap-add ALL --security-opt seccomp=unconfined trap sleep 1000")
        .exits(0);
    let mut writer = host.spawn(&format!("corten exec job sh -c '{overwrite}'"));
    for _ in 0..10 {
        let output = host
            .run("corten exec job /evil; corten exec job /proc/self/exe; corten exec job /proc/1/exe true");
        assert!(
            !output.stdout().contains("corten"),
            "the engine's own program ran inside: {}",
            output.stdout()
        );
    }
    assert_eq!(writer.exit_code(), 0);
    for line in ["--entrypoint /proc/self/exe trap", "trap /evil", "--init trap /evil"] {
        let output = host.run(&format!("corten run --rm {line} -c '{overwrite}'"));
        assert!(!output.stdout().contains("corten"), "{line}: {}", output.stdout());
    }
    assert_eq!(sums(), before);
    host.run("corten run --rm busybox echo still works").prints("still works");
}

#[test]
fn what_the_kernel_shows_is_masked_and_stays_so() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job --network none busybox sleep 1000").exits(0);
    let inside = |script: &str| host.run(&format!("corten exec job sh -c '{script}'"));
    inside("cat /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats /proc/interrupts 2>/dev/null | wc -c")
        .prints("0");
    inside("ls -A /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap 2>/dev/null | grep -v : | grep -v ^$ | wc -l")
        .prints("0");
    for path in ["/proc/kcore", "/proc/timer_list", "/sys/firmware", "/proc/sys", "/sys"] {
        inside(&format!("umount {path}")).fails_with("");
    }
    let core_pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper",
    ] {
        inside(&format!("test -e {path} || {{ echo Read-only >&2; exit 1; }}; echo x >{path}"))
            .fails_with("Read-only");
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), core_pattern);
    // No way to tell the host's kernel to run something.
    inside("find /sys/fs/cgroup -name release_agent; find /sys/fs/cgroup -maxdepth 2 -type d -exec mkdir {}/evil \\; 2>/dev/null; find / -xdev -name evil")
        .prints("");
    inside("mkdir /tmp/cg; mount -t cgroup -o memory none /tmp/cg").fails_with("");
    for setting in [
        "kernel.core_pattern=|/evil",
        "kernel.shm_rmid_forced=1+kernel.core_pattern=|/evil",
        "net.ipv4.ip_forward=1 -e x --sysctl vm.swappiness=1",
        "net/../kernel/core_pattern=x",
        "net.ipv4/../../kernel/core_pattern=x",
        "vm.swappiness=1",
        "kernel.domainname=x --uts host",
    ] {
        let output = host.run(&format!(
            "corten run --rm --network none --sysctl '{}' busybox true",
            setting.replace(" --", "' --")
        ));
        assert_ne!(output.code(), 0, "{setting}");
    }
    host.run("corten run --rm --network host --sysctl net.ipv4.ip_forward=1 busybox true").fails_with("");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), core_pattern);
}

/// Where a program is loaded: below 4 GB, so that 32-bit calls reach its data.
const BASE: u64 = 0x40_0000;
/// Length of the headers.
const HEADERS: u64 = 0x78;
/// Length of the code.
const CODE: u64 = 33;
/// Where three words of data are.
const DATA: u32 = 0x40_0000 + 0x78 + 33;

/// A program of 64 bits that makes one system call, by `syscall` or by the 32-bit `int 0x80`, and exits with the
/// negated result.
fn program(number: u32, arguments: [u32; 3], wide: bool, data: [u32; 3]) -> Vec<u8> {
    let words = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    // ELF, 64 bits, executable, one segment that is all of the file.
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file.extend(words(&[BASE + HEADERS, 0x40, 0]));
    file.extend([0, 0, 0, 0, 0x40, 0, 0x38, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    let size = HEADERS + CODE + 12;
    file.extend(words(&[0, BASE, BASE, size, size, 0x1000]));
    // mov eax; then the registers of the call.
    let registers: [u8; 3] = if wide { [0xbf, 0xbe, 0xba] } else { [0xbb, 0xb9, 0xba] };
    file.push(0xb8);
    file.extend(number.to_le_bytes());
    for (register, argument) in registers.into_iter().zip(arguments) {
        file.push(register);
        file.extend(argument.to_le_bytes());
    }
    file.extend(if wide { [0x0f, 0x05] } else { [0xcd, 0x80] });
    // neg eax; mov edi, eax; mov eax, 60; syscall
    file.extend([0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    assert_eq!(file.len() as u64, HEADERS + CODE);
    file.extend(data.iter().flat_map(|word| word.to_le_bytes()));
    file
}

#[test]
fn no_other_abi_and_no_dangerous_call_gets_past_the_filter() {
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    const NATIVE: u32 = 41;
    const X32: u32 = 0x4000_0000;
    let (unix, alg, vsock, stream, seqpacket) = (1, 38, 40, 1, 5);
    let host = Host::with_busybox();
    let run = |bytes: &[u8]| {
        let path = host.file("program", bytes);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        host.run("corten run --rm --network none -v $PWD/program:/p:ro busybox /p").code()
    };
    // Descriptor 3, negated: what success looks like.
    assert_eq!(run(&program(NATIVE, [unix, stream, 0], true, [0; 3])), 253);
    for (name, number, arguments) in [
        ("socket(AF_ALG)", NATIVE, [alg, seqpacket, 0]),
        ("socket(AF_VSOCK)", NATIVE, [vsock, stream, 0]),
        ("x32 socket(AF_ALG)", X32 | NATIVE, [alg, seqpacket, 0]),
        ("x32 socket(AF_UNIX)", X32 | NATIVE, [unix, stream, 0]),
        ("unshare(CLONE_NEWUSER)", 272, [0x1000_0000, 0, 0]),
        ("clone3", 435, [0, 0, 0]),
        ("fsopen", 430, [0, 0, 0]),
        ("open_tree", 428, [0, 0, 0]),
        ("bpf", 321, [0, 0, 0]),
        ("userfaultfd", 323, [0, 0, 0]),
        ("io_uring_setup", 425, [1, 0, 0]),
        ("keyctl", 250, [0, 0, 0]),
        ("kexec_load", 246, [0, 0, 0]),
        ("a call that there is not", 0x0fff_ffff, [0, 0, 0]),
    ] {
        let code = run(&program(number, arguments, true, [0; 3]));
        assert!(matches!(code, EPERM | ENOSYS), "{name}: {code}");
    }
    for (name, number, arguments, data) in [
        ("socket(AF_ALG)", 359, [alg, seqpacket, 0], [0; 3]),
        ("socket(AF_VSOCK)", 359, [vsock, stream, 0], [0; 3]),
        // A filter does not see where its arguments lie.
        ("socketcall(SYS_SOCKET, AF_ALG)", 102, [1, DATA, 0], [alg, seqpacket, 0]),
        ("socketcall(SYS_SOCKET, AF_UNIX)", 102, [1, DATA, 0], [unix, stream, 0]),
        ("unshare(CLONE_NEWUSER)", 310, [0x1000_0000, 0, 0], [0; 3]),
        ("fsopen", 430, [0, 0, 0], [0; 3]),
    ] {
        let code = run(&program(number, arguments, false, data));
        // SIGSEGV where the kernel has no 32-bit calls.
        assert!(matches!(code, EPERM | ENOSYS | 139), "i386 {name}: {code}");
    }
}

#[test]
fn new_namespaces_and_mounts_are_refused() {
    let host = Host::with_busybox();
    for (command, words) in [
        ("unshare -U true", "Operation not permitted"),
        ("unshare -m true", "Operation not permitted"),
        ("unshare -n true", "Operation not permitted"),
        ("mount -t tmpfs none /mnt", "ermission denied"),
        ("mount --bind / /mnt", "ermission denied"),
        ("chroot /proc/1/root /bin/mount -t proc none /tmp", "ermission denied"),
    ] {
        host.run(&format!("corten run --rm busybox sh -c 'mkdir -p /mnt; {command}'")).fails_with(words);
        host.run(&format!("corten run --rm -u 1000 busybox sh -c '{command}'")).fails_with("");
    }
}

#[test]
fn the_engine_has_no_socket_that_a_container_reaches_and_its_directories_are_private() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job --network host busybox sleep 1000").exits(0);
    host.run("corten exec job sh -c 'grep -c \" @\" /proc/net/unix'").stdout_has("0");
    let socket = host.socket().display().to_string();
    host.run(&format!("corten exec job ls {socket}")).fails_with("No such file");
    host.run("corten exec -d job sleep 1000; corten commit job made").exits(0);
    for root in [host.data_root(), host.exec_root()] {
        let mode = fs::metadata(&root).unwrap().permissions().mode() & 0o7777;
        assert!(matches!(mode, 0o700 | 0o710), "{}: {mode:o}", root.display());
        // Nobody else reads anything below, even if the root were open.
        let open = host.run(&format!(
            "cd {} && find . \\( -path ./layers -o -path './containers/*/upper' -o -path './containers/*/work' \\) -prune \
             -o \\( -type f -o -type s \\) -perm /022 -print",
            root.display()
        ));
        open.prints("");
    }
    let socket = fs::metadata(host.socket()).unwrap().permissions().mode();
    assert_eq!(socket & 0o007, 0, "the API's socket is open to everybody: {socket:o}");
}
