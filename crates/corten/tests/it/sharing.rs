//! Containers that share something with each other: shared memory, a pid namespace, a cgroup above both.

use testkit::Host;

#[test]
pub(crate) fn containers_share_memory_with_a_donor_that_allows_it() {
    let host = Host::with_busybox();
    host.run("corten run -d --name donor --ipc shareable --shm-size 3m busybox sleep 1000").exits(0);
    host.run("corten exec donor sh -c 'echo old >/dev/shm/x'").exits(0);
    let joined = "corten run --rm --network none --ipc container:donor busybox sh -c";
    host.run(&format!("{joined} 'cat /dev/shm/x; echo new >/dev/shm/y; df -k /dev/shm | tail -n 1'"))
        .prints("old\nshm 3072 [..]");
    host.run("corten exec donor cat /dev/shm/y").prints("new");
    // System V's queues, segments and semaphores are the namespace's.
    let namespace = host.run("corten exec donor readlink /proc/self/ns/ipc").line();
    host.run(&format!("{joined} 'readlink /proc/self/ns/ipc'")).prints(&namespace);

    host.run("corten run -d --name secret busybox sleep 1000").exits(0);
    for mode in ["container:secret", "container:hostly"] {
        if mode == "container:hostly" {
            host.run("corten run -d --name hostly --ipc host busybox sleep 1000").exits(0);
        }
        host.run(&format!("corten run --rm --ipc {mode} busybox true"))
            .exits(125)
            .stderr_has("non-shareable IPC (hint: use IpcMode:shareable for the donor container)");
    }
    host.run("corten stop -t 0 donor").exits(0);
    host.run(&format!("{joined} true")).exits(125).stderr_has("cannot join IPC of a non running container");
    host.run("corten rm -f donor secret hostly").exits(0);
}

#[test]
fn a_donor_cannot_pass_another_file_system_off_as_its_shared_memory() {
    let host = Host::with_busybox();
    let trick = "umount /dev/shm; rmdir /dev/shm; ln -s /proc/1/root/etc /dev/shm; echo ready; sleep 1000";
    let mut donor = host.spawn(&format!(
        "corten run --rm --name donor --privileged --pid host --ipc shareable busybox sh -c '{trick}'"
    ));
    donor.expect("ready\n");
    host.run("corten run --rm --network none --ipc container:donor busybox ls /dev/shm")
        .exits(125)
        .stderr_has("share /dev/shm of process");
    host.run("corten rm -f donor").exits(0);
    assert_eq!(donor.exit_code(), 137);
}

#[test]
pub(crate) fn limits_of_a_cgroup_parent_hold_for_its_containers() {
    let host = Host::with_busybox();
    let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let (hierarchy, tasks) = if is_v2 { ("", "cgroup.procs") } else { ("pids/", "tasks") };
    // The parent is the user's own, with a limit that two containers below it share.
    let name = host.root().file_name().unwrap().to_str().unwrap().to_owned();
    let parent = format!("/sys/fs/cgroup/{hierarchy}{name}/nested");
    host.run(&format!("mkdir -p {parent}")).exits(0);
    if is_v2 {
        let above = "for g in /sys/fs/cgroup /sys/fs/cgroup/*/; do :; done";
        host.run(&format!("{above}; echo +pids >/sys/fs/cgroup/{name}/cgroup.subtree_control")).exits(0);
    }
    host.run(&format!("echo 4 >{parent}/pids.max")).exits(0);
    let run = format!("corten run -d --cgroup-parent /{name}/nested --pids-limit 100");
    host.run(&format!("{run} --name one busybox sleep 1000")).exits(0);
    host.run(&format!(
        "{run} --name two busybox sh -c 'sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000'"
    ))
    .exits(0);
    host.run("corten wait two").exits(0);
    host.run("corten logs two").exits(0).stderr_has("fork");
    let pid = host.pid_of("one");
    host.run(&format!("cat /proc/{pid}/cgroup")).stdout_has(&format!("/{name}/nested/"));
    host.run("corten rm -f one two").exits(0);
    host.run(&format!(
        "test -e {parent}/{tasks} && find /sys/fs/cgroup -depth -type d -path '*/{name}*' -exec rmdir {{}} +"
    ))
    .exits(0);
}
