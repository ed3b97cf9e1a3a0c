//! The command line: a container's life, `exec`, hooks, terminals, and what is left.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use oci::runtime::{Hook, Hooks};

use crate::bundle::{Bundle, read_terminal, receive_terminal, until};

fn create(bundle: &Bundle) {
    bundle.save();
    let path = bundle.directory.to_str().unwrap();
    let pid_file = bundle.directory.join("pid");
    let words = ["create", "--bundle", path, "--pid-file", pid_file.to_str().unwrap(), &bundle.id];
    // Not `call`: the container keeps the pipes' other ends.
    let out = fs::File::create(bundle.directory.join("out")).unwrap();
    let status = bundle.command(&words).stdout(out).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    let mut bundle = Bundle::new("life");
    bundle.process().args = ["sh", "-c", "echo started; exec sleep 1000"].map(str::to_owned).to_vec();
    bundle.spec.annotations.insert("org.example".into(), "x".into());
    let id = bundle.id.clone();
    create(&bundle);
    let state = bundle.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["annotations"]["org.example"], "x");
    let pid = fs::read_to_string(bundle.directory.join("pid")).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    assert_eq!(fs::read_to_string(bundle.directory.join("out")).unwrap(), "");
    bundle.exec(&[&id, "true"]).ok();

    bundle.call(&["start", &id]).ok();
    assert_eq!(bundle.state()["status"], "running");
    until("output", || fs::read_to_string(bundle.directory.join("out")).unwrap() == "started\n");
    assert!(bundle.call(&["start", &id]).fails(1).contains("has already been started"));
    assert!(bundle.call(&["delete", &id]).fails(1).contains("is not stopped"));
    assert!(bundle.call(&["list"]).ok().contains(&format!("{id}  {pid}")));
    assert_eq!(bundle.call(&["list", "--quiet"]).ok(), format!("{id}\n"));

    bundle.call(&["pause", &id]).ok();
    assert_eq!(bundle.state()["status"], "paused");
    assert!(bundle.exec(&[&id, "true"]).fails(1).contains("cannot exec in a paused container"));
    bundle.call(&["resume", &id]).ok();
    assert_eq!(bundle.state()["status"], "running");

    bundle.call(&["kill", &id, "KILL"]).ok();
    until("stopped", || bundle.state()["status"] == "stopped");
    assert!(bundle.exec(&[&id, "true"]).fails(1).contains("cannot exec in a stopped container"));
    assert!(bundle.call(&["kill", &id]).fails(1).contains("container not running"));
    bundle.call(&["delete", &id]).ok();
    assert!(bundle.call(&["state", &id]).fails(1).contains("does not exist"));
    bundle.call(&["delete", "--force", &id]).ok();
}

#[test]
fn an_id_is_used_once_and_has_to_be_a_name() {
    let mut bundle = Bundle::new("twice");
    bundle.start();
    let (id, path) = (bundle.id.clone(), bundle.directory.to_str().unwrap().to_owned());
    let again = bundle.call(&["run", "--bundle", &path, &id]);
    assert!(again.fails(1).contains("already exists"));
    assert_eq!(bundle.state()["status"], "running");
    for id in ["", "..", "a/b", "a b"] {
        assert!(
            bundle.call(&["run", "--bundle", &path, id]).fails(1).contains("invalid container id"),
            "{id}"
        );
    }
}

#[test]
fn a_failed_create_leaves_nothing() {
    let mut bundle = Bundle::new("failed");
    bundle.process().args = vec!["no-such-command".into()];
    bundle.save();
    let path = bundle.directory.to_str().unwrap();
    let error = bundle.call(&["create", "--bundle", path, &bundle.id]).fails(127);
    assert!(error.contains("executable file not found in $PATH"));
    assert_eq!(fs::read_dir(bundle.directory.join("state")).unwrap().count(), 0);
}

#[test]
fn what_only_execve_finds_out_is_told_by_start() {
    let mut bundle = Bundle::new("late");
    bundle.put_program("script", "#!/no/interpreter\n");
    bundle.process().args = vec!["/script".into()];
    create(&bundle);
    let error = bundle.call(&["start", &bundle.id]).fails(127);
    assert!(error.contains("the interpreter /no/interpreter") && error.contains("no such file or directory"));
    until("stopped", || bundle.state()["status"] == "stopped");
}

#[test]
fn exec_joins_every_namespace_and_the_cgroup() {
    let mut bundle = Bundle::new("exec");
    bundle.start();
    let id = bundle.id.clone();
    let init = bundle.state()["pid"].as_i64().unwrap();
    let script = "for kind in mnt pid net uts ipc cgroup; do readlink /proc/self/ns/$kind; done; cat /proc/self/cgroup";
    let out = bundle.exec(&[&id, "sh", "-c", script]).ok();
    let mut lines = out.lines();
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup"] {
        let theirs = fs::read_link(format!("/proc/{init}/ns/{kind}")).unwrap();
        assert_eq!(lines.next().unwrap(), theirs.to_str().unwrap(), "{kind}");
    }
    // From inside its namespace, the root of the cgroup is the container's own.
    let pids = lines.find(|line| line.contains(":pids:") || line.starts_with("0::")).unwrap();
    assert!(pids.ends_with(":/"), "{out}");
    let children = bundle.exec(&[&id, "sh", "-c", "ls -d /proc/[0-9]* | grep -c ."]).ok();
    assert!(children.trim().parse::<u32>().unwrap() <= 4, "{children}");
}

#[test]
fn exec_enters_user_and_time_namespaces() {
    let mut bundle = Bundle::new("execuser");
    bundle.with_user_namespace();
    bundle.linux().namespaces.push(oci::runtime::Namespace { kind: "time".into(), path: None });
    bundle.start();
    let id = bundle.id.clone();
    let init = bundle.state()["pid"].as_i64().unwrap();
    let script = "id -u; readlink /proc/self/ns/user; readlink /proc/self/ns/time; grep CapBnd /proc/self/status; touch /made";
    let out = bundle.exec(&["--user", "7", &id, "sh", "-c", "id -u"]).ok();
    assert_eq!(out, "7\n");
    let out = bundle.exec(&[&id, "sh", "-c", script]).ok();
    let theirs = |kind: &str| fs::read_link(format!("/proc/{init}/ns/{kind}")).unwrap();
    let expected =
        format!("0\n{}\n{}\nCapBnd:\t0000000020000420\n", theirs("user").display(), theirs("time").display());
    assert_eq!(out, expected);
}

#[test]
fn exec_takes_user_directory_environment_and_answers_with_the_exit_code() {
    let mut bundle = Bundle::new("execopts");
    bundle.start();
    let id = bundle.id.clone();
    let script = "id -u; id -g; pwd; echo $A; grep CapEff /proc/self/status; exit 9";
    let words = [
        "--user",
        "1000:5",
        "--cwd",
        "/tmp",
        "--env",
        "A=b",
        "--cap",
        "CAP_NET_RAW",
        &id,
        "sh",
        "-c",
        script,
    ];
    let answer = bundle.exec(&words);
    assert_eq!(answer.code, Some(9));
    assert_eq!(answer.out, "1000\n5\n/tmp\nb\nCapEff:\t0000000000000000\n");
    for (program, code, text) in [
        ("nope", 127, "process: exec: \"nope\": executable file not found in $PATH"),
        ("/etc", 126, "process: exec: \"/etc\": is a directory"),
    ] {
        let error = bundle.exec(&[&id, program]).fails(code);
        assert!(error.contains(text) && !error.contains("container init"), "{error}");
    }
    for fd in 3..14 {
        let answer = bundle.exec(&["--cwd", &format!("/proc/self/fd/{fd}"), &id, "ls", "/proc/self/cwd/"]);
        assert_ne!(answer.code, Some(0), "fd {fd}: {answer:?}");
    }
    let file = bundle.directory.join("process.json");
    let process = serde_json::json!({"args": ["id", "-u"], "cwd": "/", "user": {"uid": 42, "gid": 0}});
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no atomic replacement")]
    fs::write(&file, process.to_string()).unwrap();
    assert_eq!(bundle.exec(&["--process", file.to_str().unwrap(), &id]).ok(), "42\n");
}

#[test]
fn the_terminal_is_the_containers_first() {
    let mut bundle = Bundle::new("tty");
    let socket = bundle.directory.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let process = bundle.process();
    process.terminal = true;
    process.user.uid = 1000;
    process.console_size = Some(oci::runtime::ConsoleSize { height: 33, width: 99 });
    let script =
        "tty; ls -l /dev/console | grep -c 'root.*console'; stty size; echo x >/dev/tty; echo y >/dev/stderr";
    process.args = ["sh", "-c", script].map(str::to_owned).to_vec();
    bundle.save();
    let (path, socket) = (bundle.directory.to_str().unwrap(), socket.to_str().unwrap());
    let mut child = bundle
        .command(&["run", "--detach", "--console-socket", socket, "--bundle", path, &bundle.id])
        .spawn()
        .unwrap();
    let master = receive_terminal(&listener);
    assert!(child.wait().unwrap().success());
    let text = read_terminal(&master).replace('\r', "");
    assert_eq!(text, "/dev/pts/0\n0\n33 99\nx\ny\n".replace("\n0\n", &text_of_console(&text)));
}

/// busybox prints an owner by name or number; the line itself is not the point.
fn text_of_console(text: &str) -> String {
    format!("\n{}\n", text.lines().nth(1).unwrap_or_default())
}

#[test]
fn exec_gets_a_terminal_of_the_same_devpts() {
    let mut bundle = Bundle::new("exectty");
    bundle.start();
    let socket = bundle.directory.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let words = [
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        socket.to_str().unwrap(),
        &bundle.id,
        "sh",
        "-c",
        "tty; echo $PPID",
    ];
    let mut child = bundle.command(&words).spawn().unwrap();
    let master = receive_terminal(&listener);
    assert!(child.wait().unwrap().success());
    assert_eq!(read_terminal(&master).replace('\r', ""), "/dev/pts/0\n0\n");
}

#[test]
fn a_terminal_is_relayed_in_the_foreground() {
    let mut bundle = Bundle::new("relay");
    bundle.process().terminal = true;
    let mut command = bundle.run_command(&["sh", "-c", "read line; echo got $line; exit 3"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hello\n").unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(text.replace('\r', "").ends_with("got hello\n"), "{text}");
}

#[test]
fn signals_to_the_runtime_reach_the_program() {
    let mut bundle = Bundle::new("forward");
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while true; do sleep 0.05; done";
    let mut child = bundle.run_command(&["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("caught\n", Some(5)));
}

#[test]
fn hooks_run_in_order_each_in_its_place() {
    let mut bundle = Bundle::new("hooks");
    let log = bundle.directory.join("hooks.log");
    let host = |name: &str| Hook {
        path: "/bin/sh".into(),
        args: [
            "sh",
            "-c",
            &format!("echo {name} $(cat | grep -o '\"status\":\"[a-z]*\"') >>{}", log.display()),
        ]
        .map(str::to_owned)
        .to_vec(),
        env: vec!["PATH=/usr/bin:/bin".into()],
        ..Hook::default()
    };
    let inside = Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", "cat >/start-hook; pwd"].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".into()],
        ..Hook::default()
    };
    bundle.spec.hooks = Some(Hooks {
        prestart: vec![host("prestart")],
        create_runtime: vec![host("createRuntime")],
        create_container: vec![host("createContainer")],
        start_container: vec![inside],
        poststart: vec![host("poststart")],
        poststop: vec![host("poststop")],
    });
    bundle.run(&["true"]).ok();
    let text = fs::read_to_string(&log).unwrap();
    let names: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"], "{text}");
    assert!(text.contains("createRuntime \"status\":\"creating\""), "{text}");
    assert!(text.contains("poststop \"status\":\"stopped\""), "{text}");
    let state: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(bundle.root("start-hook")).unwrap()).unwrap();
    assert_eq!((state["status"].as_str(), state["pid"].as_i64()), (Some("created"), Some(1)));
}

/// Those of creation have the runtime's mount namespace, then the container's with the host's files, then its own root.
#[test]
fn hooks_run_in_the_namespaces_that_the_specification_gives_them() {
    let mut bundle = Bundle::new("hookns");
    let log = bundle.directory.join("log");
    let hook = |script: String, path: &str| Hook {
        path: "/bin/sh".into(),
        args: ["sh".to_owned(), "-c".to_owned(), script].to_vec(),
        env: vec![format!("PATH={path}")],
        ..Hook::default()
    };
    let host = |name: &str| {
        let script = format!("echo {name} $(readlink /proc/self/ns/mnt) >>{}", log.display());
        vec![hook(script, "/usr/bin:/bin")]
    };
    bundle.spec.hooks = Some(Hooks {
        prestart: host("prestart"),
        create_runtime: host("createRuntime"),
        create_container: host("createContainer"),
        start_container: vec![hook("readlink /proc/self/ns/mnt >/start".into(), "/bin")],
        poststart: host("poststart"),
        poststop: host("poststop"),
    });
    let containers = bundle.run(&["readlink", "/proc/self/ns/mnt"]).ok();
    let ours = fs::read_link("/proc/self/ns/mnt").unwrap();
    let (ours, theirs) = (ours.display(), containers.trim());
    assert_ne!(ours.to_string(), theirs);
    let expected = format!(
        "prestart {ours}\ncreateRuntime {ours}\ncreateContainer {theirs}\npoststart {ours}\npoststop {ours}\n"
    );
    assert_eq!(fs::read_to_string(&log).unwrap(), expected);
    assert_eq!(fs::read_to_string(bundle.root("start")).unwrap(), containers);
}

#[test]
fn a_failing_hook_fails_the_container() {
    let mut bundle = Bundle::new("badhook");
    let hook = |script: &str, timeout| Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
        timeout,
        ..Hook::default()
    };
    for (hook, text) in [
        (hook("exit 3", None), "exit status 3"),
        (hook("sleep 100", Some(1)), "it did not end within 1 s"),
        (Hook { path: "/no/hook".into(), ..Hook::default() }, "no such file or directory"),
    ] {
        bundle.spec.hooks = Some(Hooks { create_runtime: vec![hook], ..Hooks::default() });
        let answer = bundle.run(&["true"]);
        assert_ne!(answer.code, Some(0));
        assert!(
            answer.err.contains("error running createRuntime hook #0") && answer.err.contains(text),
            "{answer:?}"
        );
    }
}

#[test]
fn hooks_before_the_program_stop_it_and_one_after_its_end_does_not() {
    let mut bundle = Bundle::new("hookfail");
    let failing = || {
        let args = ["sh", "-c", "exit 3"].map(str::to_owned).to_vec();
        vec![Hook { path: "/bin/sh".into(), args, ..Hook::default() }]
    };
    let none = Hooks::default;
    for (name, hooks, runs) in [
        ("prestart", Hooks { prestart: failing(), ..none() }, false),
        ("createRuntime", Hooks { create_runtime: failing(), ..none() }, false),
        ("createContainer", Hooks { create_container: failing(), ..none() }, false),
        ("startContainer", Hooks { start_container: failing(), ..none() }, false),
        ("poststop", Hooks { poststop: failing(), ..none() }, true),
    ] {
        bundle.spec.hooks = Some(hooks);
        let answer = bundle.run(&["echo", "ran"]);
        assert_eq!(answer.code == Some(0), runs, "{name}: {answer:?}");
        assert_eq!(answer.out == "ran\n", runs, "{name}: {answer:?}");
        assert!(runs || answer.err.contains(&format!("error running {name} hook #0")), "{answer:?}");
    }
}

#[test]
fn a_failing_poststart_hook_ends_the_container_and_removes_it() {
    let mut bundle = Bundle::new("poststart");
    let stopped = bundle.directory.join("stopped");
    let hook = |script: &str| {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        vec![Hook { path: "/bin/sh".into(), args, ..Hook::default() }]
    };
    let poststop = hook(&format!(": >{}", stopped.display()));
    bundle.spec.hooks = Some(Hooks { poststart: hook("exit 3"), poststop, ..Hooks::default() });
    let check = |bundle: &Bundle, answer: crate::bundle::Answer| {
        assert!(answer.code.is_some_and(|code| code != 0), "{answer:?}");
        assert!(answer.err.contains("error running poststart hook #0"), "{answer:?}");
        assert!(bundle.call(&["state", &bundle.id]).code.is_some_and(|code| code != 0), "it is still there");
        fs::remove_file(&stopped).expect("the poststop hook ran");
    };
    let answer = bundle.run(&["sleep", "1000"]);
    check(&bundle, answer);

    create(&bundle);
    check(&bundle, bundle.call(&["start", &bundle.id]));
}

#[test]
fn features_and_help_are_printed() {
    let bundle = Bundle::new("features");
    let features: serde_json::Value = serde_json::from_str(&bundle.call(&["features"]).ok()).unwrap();
    assert_eq!(features["ociVersionMax"], oci::runtime::OCI_VERSION);
    assert!(features["hooks"].as_array().unwrap().iter().any(|hook| hook == "startContainer"));
    assert!(bundle.call(&["--help"]).ok().contains("corten-runtime"));
    assert!(bundle.call(&["run", "--help"]).ok().contains("--console-socket"));
    assert!(bundle.call(&["nonsense"]).fails(1).contains("unknown command \"nonsense\""));
}

#[test]
fn limits_of_a_live_container_can_be_changed() {
    let mut bundle = Bundle::new("update");
    bundle.start();
    let id = bundle.id.clone();
    bundle.call(&["update", "--memory", "67108864", "--pids-limit", "50", &id]).ok();
    let read = |file: &str| fs::read_to_string(file).ok();
    let v1 = format!("/sys/fs/cgroup/memory/corten-runtime-{id}/memory.limit_in_bytes");
    let v2 = format!("/sys/fs/cgroup/corten-runtime-{id}/memory.max");
    assert_eq!(read(&v1).or_else(|| read(&v2)).unwrap().trim(), "67108864");
    let pids: Vec<i32> = serde_json::from_str(&bundle.call(&["ps", "--format", "json", &id]).ok()).unwrap();
    assert_eq!(pids.len(), 1);
}
