//! Commands, the calls they make, and what people see of the answers.

use std::io::Write;
use std::process::{Output, Stdio};

use super::server::{Answer, Engine, Request};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn shown(output: &Output) -> (i32, &str, &str) {
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[stream, 0, 0, 0], &length[..], bytes].concat()
}

/// An engine whose containers print on both streams and end with `code`.
fn containers(code: i64) -> impl Fn(&Request) -> Answer + Send + Sync {
    move |request| match request.call().as_str() {
        "POST /containers/create" => Answer::json(201, format!("{{\"Id\":\"{ID}\",\"Warnings\":null}}")),
        call if call.ends_with("/attach") => {
            Answer::stream([frame(1, b"out\n"), frame(2, b"err\n")].concat())
        }
        call if call.ends_with("/wait") => Answer::json(200, format!("{{\"StatusCode\":{code}}}")),
        call if call.ends_with("/start") => Answer::empty(),
        _ => Answer::error(404, "page not found"),
    }
}

#[test]
fn run_attaches_before_it_waits_and_waits_before_it_starts() {
    let engine = Engine::start(containers(7));
    let output = engine.run("run --rm busybox true");
    assert_eq!(shown(&output), (7, "out\n", "err\n"));
    let path = |what: &str| format!("POST /containers/{ID}/{what}");
    assert_eq!(
        engine.calls(),
        ["POST /containers/create".into(), path("attach"), path("wait"), path("start")]
    );
    let queries: Vec<String> = engine.requests().iter().map(|request| request.query().to_owned()).collect();
    assert_eq!(queries, ["", "stream=1&stdout=1&stderr=1", "condition=removed", ""]);
}

#[test]
fn a_detached_run_prints_the_id_and_leaves() {
    let engine = Engine::start(containers(0));
    assert_eq!(shown(&engine.run("run -d busybox")), (0, &*format!("{ID}\n"), ""));
    assert_eq!(
        engine.calls(),
        ["POST /containers/create".to_owned(), format!("POST /containers/{ID}/start")]
    );
}

#[test]
fn input_is_sent_and_its_end_too() {
    let engine = Engine::start(containers(0));
    let mut command = engine.command("corten");
    command
        .args(["run", "-i", "busybox", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[b'x'; 100_000]).unwrap();
    // The engine ends the stream when it has seen the end of the input.
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(engine.input(), [b'x'; 100_000]);
}

#[test]
fn without_output_the_end_of_the_container_is_enough() {
    let engine = Engine::start(containers(4));
    let mut command = engine.command("corten");
    command.args(["run", "-a", "stdin", "busybox"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Nobody types and nobody closes.
    let input = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    drop(input);
}

#[test]
fn the_environment_names_a_platform_and_forbids_plain_tcp() {
    let engine = Engine::start(containers(0));
    let create = |program: &mut std::process::Command| program.args(["create", "busybox"]).output().unwrap();
    create(engine.command("corten").env("DOCKER_DEFAULT_PLATFORM", "linux/arm64"));
    assert_eq!(engine.requests()[0].query(), "platform=linux%2Farm64");
    let mut command = engine.command("corten");
    let output = create(command.env("DOCKER_HOST", "tcp://127.0.0.1:1").env("DOCKER_TLS_VERIFY", "1"));
    assert!(text(&output.stderr).contains("does not speak"), "{}", text(&output.stderr));
}

#[test]
fn a_missing_image_is_pulled_and_the_container_created_then() {
    let engine = Engine::start(|request: &Request| match request.call().as_str() {
        "POST /images/create" => Answer::json(
            200,
            "{\"status\":\"Pulling from library/x\",\"id\":\"1\"}\r\n\
             {\"status\":\"Downloading\",\"progressDetail\":{\"current\":1,\"total\":2},\"id\":\"aa\"}\r\n\
             {\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}\r\n",
        ),
        _ => Answer::error(404, "No such image: x:1"),
    });
    let want = "Unable to find image 'x:1' locally\n1: Pulling from library/x\ncorten: no space\n\n\
                Run 'corten run --help' for more information\n";
    assert_eq!(shown(&engine.run("run x:1")), (125, "", want));
    assert_eq!(engine.requests()[1].query(), "fromImage=x&tag=1");
    let never = engine.run("run --pull never x:1");
    assert!(text(&never.stderr).starts_with("corten: Error response from daemon: No such image: x:1\n"));
}

#[test]
fn exit_codes_tell_whose_fault_it_was() {
    for (message, code) in [
        ("exec: \"nope\": executable file not found in $PATH", 127),
        ("exec: \"/x\": stat /x: no such file or directory", 127),
        ("exec: \"/etc\": is a directory", 126),
        ("exec: \"/etc/passwd\": permission denied", 126),
        ("something else", 125),
    ] {
        let handler = containers(0);
        let engine = Engine::start(move |request: &Request| match request.call() {
            call if call.ends_with("/start") => Answer::error(400, message),
            _ => handler(request),
        });
        let output = engine.run("run --rm busybox x");
        let want = format!(
            "err\ncorten: Error response from daemon: {message}\n\nRun 'corten run --help' for more information\n"
        );
        assert_eq!(shown(&output), (code, "out\n", &*want));
    }
}

#[test]
fn the_clients_words_come_with_its_name() {
    let engine = Engine::start(|_| Answer::error(500, "x"));
    for (program, line, code, want) in [
        (
            "docker",
            "run --foo",
            125,
            "unknown flag: --foo\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'docker run --help' for more information\n",
        ),
        (
            "corten",
            "foo",
            1,
            "corten: unknown command: corten foo\n\nRun 'corten --help' for more information\n",
        ),
        (
            "docker",
            "container foo",
            1,
            "docker: unknown command: docker container foo\n\nUsage:  docker container\n\nRun 'docker container --help' for more information\n",
        ),
        (
            "corten",
            "ps x",
            1,
            "corten: 'corten ps' accepts no arguments\n\nUsage:  corten ps [OPTIONS]\n\nRun 'corten ps --help' for more information\n",
        ),
        (
            "docker",
            "image rm",
            1,
            "docker: 'docker image rm' requires at least 1 argument\n\nUsage:  docker image rm [OPTIONS] IMAGE [IMAGE...]\n\nSee 'docker image rm --help' for more information\n",
        ),
        (
            "corten",
            "-H a -H b ps",
            1,
            "Failed to initialize: unable to resolve docker endpoint: Specify only one -H\n",
        ),
        ("corten", "run -it busybox", 1, "the input device is not a TTY\n"),
        (
            "corten",
            "run --rm --restart always busybox",
            125,
            "corten: conflicting options: cannot specify both --restart and --rm\n\nRun 'corten run --help' for more information\n",
        ),
        (
            "corten",
            "run A",
            125,
            "corten: invalid reference format: repository name (library/A) must be lowercase\n\nRun 'corten run --help' for more information\n",
        ),
        (
            "corten",
            "run -d -a stdout busybox",
            1,
            "conflicting options: cannot specify both --attach and --detach\n",
        ),
    ] {
        let output = engine.command(program).args(line.split(' ')).output().unwrap();
        assert_eq!(shown(&output), (code, "", want), "{program} {line}");
    }
}

#[test]
fn every_command_has_help_that_names_its_flags() {
    let engine = Engine::start(|_| Answer::error(500, "x"));
    let root = engine.run("--help");
    let listed = text(&root.stdout).lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<String> =
        listed.filter(|name| !name.is_empty() && !name.starts_with('-')).map(str::to_owned).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let help = engine.run(&format!("{name} --help"));
        let (code, out, err) = shown(&help);
        assert_eq!((code, err), (0, ""), "{name}");
        assert!(out.starts_with(&format!("Usage:  corten {name} ")), "{out}");
    }
    assert!(engine.calls().is_empty());
}

#[test]
fn an_older_engine_is_spoken_to_in_its_version() {
    let engine = Engine::start(|request: &Request| match request.line.contains("/v1.43/") {
        true => Answer::json(200, "[]"),
        false => Answer::error(400, "client version 1.51 is too new. Maximum supported API version is 1.43"),
    });
    assert_eq!(shown(&engine.run("images -q")), (0, "", ""));
    assert_eq!(engine.requests().len(), 2);
    let pinned =
        engine.command("corten").args(["images"]).env("DOCKER_API_VERSION", "1.50").output().unwrap();
    let want =
        "Error response from daemon: client version 1.51 is too new. Maximum supported API version is 1.43\n";
    assert_eq!(shown(&pinned), (1, "", want));
}

#[test]
fn nobody_at_a_chosen_host_is_an_error_and_starts_nothing() {
    let engine = Engine::start(|_| Answer::empty());
    for (name, host) in [("DOCKER_HOST", "unix:///nonexistent/s"), ("CORTEN_HOST", "unix:///nonexistent/c")] {
        let output =
            engine.command("corten").arg("ps").env_remove("DOCKER_HOST").env(name, host).output().unwrap();
        let want = format!("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?\n");
        assert_eq!(shown(&output), (1, "", &*want));
    }
    // The flag counts more than the environment.
    let output = engine.command("corten").args(["-H", "unix:///nonexistent/h", "ps"]).output().unwrap();
    assert!(text(&output.stderr).contains("unix:///nonexistent/h"));
    assert!(engine.calls().is_empty());
}

#[test]
fn exec_ends_with_the_programs_exit_code() {
    let engine = Engine::start(|request: &Request| match request.call().as_str() {
        "POST /containers/c/exec" => Answer::json(201, "{\"Id\":\"e1\"}"),
        "POST /exec/e1/start" => Answer::stream(frame(1, b"hi\n")),
        "GET /exec/e1/json" => Answer::json(200, "{\"ID\":\"e1\",\"Running\":false,\"ExitCode\":9}"),
        _ => Answer::error(404, "page not found"),
    });
    assert_eq!(shown(&engine.run("exec -e A=b -w /x c echo hi")), (9, "hi\n", ""));
    let body: serde_json::Value = serde_json::from_slice(&engine.requests()[0].body).unwrap();
    assert_eq!(
        (&body["Cmd"], &body["Env"], &body["WorkingDir"], &body["AttachStdin"]),
        (
            &serde_json::json!(["echo", "hi"]),
            &serde_json::json!(["A=b"]),
            &serde_json::json!("/x"),
            &serde_json::json!(false)
        )
    );
}

#[test]
fn lists_have_columns_and_formats() {
    let engine = Engine::start(|request: &Request| match request.call().as_str() {
        "GET /containers/json" => Answer::json(
            200,
            format!(
                "[{{\"Id\":\"{ID}\",\"Names\":[\"/c1\"],\"Image\":\"busybox\",\"ImageID\":\"sha256:1\",\"Command\":\"sleep 9\",\
                 \"Created\":0,\"State\":\"running\",\"Status\":\"Up 3 minutes\",\"Ports\":[{{\"PrivatePort\":80,\"Type\":\"tcp\"}}],\
                 \"Labels\":{{\"a.b\":\"x\"}},\"Mounts\":null,\"NetworkSettings\":{{\"Networks\":{{\"none\":{{}}}}}}}}]"
            ),
        ),
        _ => Answer::error(404, "page not found"),
    });
    let output = engine.run("ps -f status=running -a");
    let (_, table, _) = shown(&output);
    assert!(table.starts_with("CONTAINER ID   IMAGE     COMMAND     CREATED        STATUS         PORTS     NAMES\n0123456789ab   busybox   \"sleep 9\"   "), "{table}");
    assert!(table.ends_with("Up 3 minutes   80/tcp    c1\n"), "{table}");
    assert_eq!(engine.requests()[0].query(), "all=1&filters=%7B%22status%22%3A%7B%22running%22%3Atrue%7D%7D");
    for (format, want) in [
        ("{{.Names}}|{{.Label \"a.b\"}}|{{.Networks}}", "c1|x|none\n"),
        ("table {{.Names}}\\t{{.Label \"a.b\"}}", "NAMES     b\nc1        x\n"),
        ("{{upper .State}}{{println}}", "RUNNING\n\n"),
    ] {
        let output = engine.command("corten").args(["ps", "--format", format]).output().unwrap();
        assert_eq!(shown(&output), (0, want, ""), "{format}");
    }
    let wrong = engine.command("corten").args(["ps", "--format", "{{.Foo}}"]).output().unwrap();
    let want = "failed to execute template: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext\n";
    assert_eq!(shown(&wrong), (1, "", want));
}

#[test]
fn one_of_several_that_fails_does_not_keep_the_others() {
    let engine = Engine::start(|request: &Request| match request.call().as_str() {
        "DELETE /containers/bad" => Answer::error(404, "No such container: bad"),
        _ => Answer::empty(),
    });
    let want = "Error response from daemon: No such container: bad\n";
    assert_eq!(shown(&engine.run("rm a bad b")), (1, "a\nb\n", want));
    assert_eq!(shown(&engine.run("rm -f a bad")), (0, "a\n", want));
    assert_eq!(shown(&engine.run("stop -t 3 a")), (0, "a\n", ""));
    assert_eq!(engine.requests().last().unwrap().query(), "t=3");
}

#[test]
fn archives_are_streamed_both_ways() {
    let engine = Engine::start(|request: &Request| match request.call().as_str() {
        "GET /_ping" => Answer::json(200, "OK"),
        "POST /images/create" => Answer::json(200, "{\"status\":\"sha256:aa\"}\r\n"),
        "POST /images/load" => Answer::json(200, "{\"stream\":\"Loaded image: x:1\\n\"}\r\n"),
        "GET /images/get" => Answer::json(200, vec![7; 300_000]),
        _ => Answer::error(404, "page not found"),
    });
    let archive = engine.write("archive", &[5; 700_000]);
    let import = engine
        .command("corten")
        .args(["import", "-c", "CMD x", "-m", "why", &archive, "x:1"])
        .output()
        .unwrap();
    assert_eq!(shown(&import), (0, "sha256:aa\n", ""));
    let request = engine.requests().pop().unwrap();
    assert_eq!(request.query(), "fromSrc=-&repo=x%3A1&message=why&changes=CMD%20x");
    assert!(request.body == vec![5; 700_000]);
    assert_eq!(shown(&engine.run(&format!("load -i {archive}"))), (0, "Loaded image: x:1\n", ""));
    assert_eq!(engine.run("save x:1").stdout, vec![7; 300_000]);
    let target = engine.directory().join("saved").display().to_string();
    assert_eq!(shown(&engine.run(&format!("save -o {target} x:1"))), (0, "", ""));
    assert!(std::fs::read(&target).unwrap() == vec![7; 300_000]);
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let engine = Engine::start(|_| Answer::json(200, vec![7; 3_000_000]));
    let mut command = engine.command("corten");
    command.args(["save", "x"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(shown(&output), (141, "", ""));
}
