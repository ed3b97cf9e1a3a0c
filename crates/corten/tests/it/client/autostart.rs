//! No engine at the default socket: the command line starts one.

use std::process::{Command, Output};

/// Directories that an engine of its own default places needs for itself.
const PRIVATE: &str =
    "mount --make-rprivate / && for d in /run /var/lib /var/log; do mount -t tmpfs tmpfs $d; done";

/// Runs a script where nothing of the machine's own engine is seen; `$corten` is the program.
fn alone(script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", &format!("{PRIVATE} || exit 99\n{script}")]);
    command.env_remove("DOCKER_HOST").env_remove("CORTEN_HOST").env("corten", env!("CARGO_BIN_EXE_corten"));
    command.output().unwrap()
}

#[test]
fn two_commands_at_once_start_one_engine_of_its_own_session() {
    let output = alone(
        r#"
        $corten images -q 2>/run/a & first=$!
        $corten ps -q 2>/run/b; echo "ps $?"
        wait $first; echo "images $?"
        grep -h Started /run/a /run/b | wc -l
        pid=$(sed -n 's/.*process \([0-9]*\).*/\1/p' /run/a /run/b)
        cat /proc/$pid/comm
        readlink /proc/$pid/cwd
        awk '{print ($6 == $1) ? "leads its session" : "in our session"; print ($7 == 0) ? "no terminal" : $7}' /proc/$pid/stat
        tr '\0' '\n' </proc/$pid/environ | cut -d= -f1
        readlink /proc/$pid/fd/0 /proc/$pid/fd/2
        sed -n 's/.*:pids:\|^0:://p' /proc/$pid/cgroup | sort -u
        $corten images -q; echo "again $?"
        kill $pid
        while kill -0 $pid 2>/dev/null; do sleep 0.05; done
        find /sys/fs/cgroup -maxdepth 2 -name corten-daemon -exec rmdir {} + 2>/dev/null
        "#,
    );
    let want = "ps 0\nimages 0\n1\ncorten\n/\nleads its session\nno terminal\nPATH\n/dev/null\n/var/log/corten.log\n\
                /corten-daemon\nagain 0\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_engine_that_cannot_start_is_told_with_its_own_words() {
    let output = alone(
        "touch /var/lib/corten
        $corten ps; echo $?
        find /sys/fs/cgroup -maxdepth 2 -name corten-daemon -exec rmdir {} + 2>/dev/null",
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{told}");
    let unreachable =
        "Cannot connect to the Docker daemon at unix:///run/corten.sock. Is the docker daemon running?\n";
    assert!(told.starts_with(unreachable), "{told}");
    assert!(
        told.contains("and none could be started: it ended at once") && told.contains("/var/lib/corten"),
        "{told}"
    );
}
