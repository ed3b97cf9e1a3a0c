//! Terminals: `-it` is a real one.

use testkit::Host;

#[test]
fn a_shell_on_a_terminal_has_size_job_control_and_an_exit_code() {
    let host = Host::with_busybox();
    let mut shell = host.terminal("corten run --rm -it --name job busybox sh");
    shell.expect("# ");
    shell.write("tty; stty size\n");
    shell.expect("/dev/pts/0");
    shell.expect("24 80");
    shell.resize(50, 132);
    host.until("the new size has arrived", || {
        shell.write("stty size\n");
        shell.stdout().contains("50 132")
    });
    shell.write("sleep 1000\n");
    host.until("sleep runs", || host.run("corten exec job ps -o args").stdout().contains("\nsleep 1000\n"));
    shell.write("\x03");
    shell.write("echo code=$?\n");
    shell.expect("code=130");
    shell.write("exit 9\n");
    assert_eq!(shell.exit_code(), 9);
}

#[test]
pub(crate) fn detach_keys_leave_the_container_running() {
    let host = Host::with_busybox();
    let mut shell = host.terminal("corten run -it --name job busybox sh");
    shell.expect("# ");
    shell.write("\x10\x11");
    assert_eq!(shell.exit_code(), 0);
    assert_eq!(host.inspect("job", "{{.State.Running}}"), "true");
    let mut again = host.terminal("corten attach --detach-keys ctrl-x,x job");
    again.write("echo $((6*7))-back\n");
    again.expect("42-back");
    again.write("\x18x");
    again.expect("read escape sequence");
    assert_eq!(again.exit_code(), 1);
    let mut exec = host.terminal("corten exec -it job sh -c 'read line; echo got $line; exit 4'");
    exec.write("word\n");
    exec.expect("got word");
    assert_eq!(exec.exit_code(), 4);
}

#[test]
fn a_terminal_without_stdin_and_stdin_without_a_terminal() {
    let host = Host::with_busybox();
    host.run("corten run --rm -t busybox printf 'a\\nb\\n'").prints("a\r\nb\r\n");
    host.run("corten run --rm -it busybox true").fails_with("the input device is not a TTY").exits(1);
    let mut cat = host.spawn("corten run --rm -i busybox cat");
    cat.write("half\n");
    cat.expect("half\n");
    cat.close_stdin();
    assert_eq!(cat.exit_code(), 0);
}

#[test]
fn output_after_the_end_of_input_arrives() {
    let host = Host::with_busybox();
    let mut job = host.spawn("corten run --rm -i busybox sh -c 'cat >/dev/null; echo after; exit 2'");
    job.close_stdin();
    assert_eq!(job.exit_code(), 2);
    assert_eq!(job.stdout(), "after\n");
}
