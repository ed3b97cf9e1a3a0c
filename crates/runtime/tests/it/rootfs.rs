//! The root file system: mounts, devices, masks, and images that try to get out.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use oci::runtime::Device;

use crate::bundle::Bundle;

/// A directory of the host that nothing of a container may reach.
struct Canary(std::path::PathBuf);

impl Canary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("corten-canary-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let found = fs::read_dir(&self.0).unwrap().count();
        fs::remove_dir_all(&self.0).unwrap();
        if !std::thread::panicking() {
            assert_eq!(found, 0, "the canary was touched");
        }
    }
}

#[test]
fn the_default_devices_are_there_and_no_others() {
    let mut bundle = Bundle::new("dev");
    let out = bundle.sh("cd /dev; for f in *; do stat -c '%n %F %a %t:%T' $f; done").ok();
    let expected = "\
core symbolic link 777 0:0
fd symbolic link 777 0:0
full character special file 666 1:7
mqueue directory 1777 0:0
null character special file 666 1:3
ptmx symbolic link 777 0:0
pts directory 755 0:0
random character special file 666 1:8
shm directory 1777 0:0
stderr symbolic link 777 0:0
stdin symbolic link 777 0:0
stdout symbolic link 777 0:0
tty character special file 666 5:0
urandom character special file 666 1:9
zero character special file 666 1:5
";
    assert_eq!(out, expected);
    assert_eq!(bundle.sh("echo through >/dev/stdout; readlink /dev/ptmx").ok(), "through\npts/ptmx\n");
}

#[test]
fn listed_devices_are_made_with_mode_and_owner() {
    let mut bundle = Bundle::new("devices");
    bundle.linux().devices = vec![
        Device {
            kind: "c".into(),
            path: "/dev/net/tun".into(),
            major: 10,
            minor: 200,
            file_mode: Some(0o640),
            uid: Some(7),
            gid: Some(8),
        },
        Device { kind: "p".into(), path: "/opt/fifo".into(), ..Device::default() },
        // What a privileged container's list repeats.
        Device { kind: "c".into(), path: "/dev/ptmx".into(), major: 5, minor: 2, ..Device::default() },
        Device { kind: "c".into(), path: "/dev/null".into(), major: 1, minor: 3, ..Device::default() },
    ];
    let out = bundle.run(&["stat", "-c", "%F %a %u:%g %t:%T", "/dev/net/tun", "/opt/fifo", "/dev/ptmx"]).ok();
    assert_eq!(out, "character special file 640 7:8 a:c8\nfifo 666 0:0 0:0\nsymbolic link 777 0:0 0:0\n");
    assert!(fs::metadata(bundle.root("opt/fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn masked_paths_read_as_empty_and_cannot_be_unmasked() {
    let mut bundle = Bundle::new("masks");
    bundle.put("secret/file", "secret");
    bundle.put("secret.txt", "secret");
    bundle.linux().masked_paths.extend(["/secret", "/secret.txt", "/absent"].map(str::to_owned));
    let script = "cat /secret.txt /proc/keys /proc/timer_list; ls -A /secret /sys/firmware /proc/acpi | grep -v : ; \
                  touch /secret/x; echo x >/secret.txt; cat /secret.txt";
    let answer = bundle.sh(script);
    assert_eq!(answer.out.trim(), "", "{answer:?}");
    assert!(answer.err.contains("/secret/x: Read-only file system"), "{answer:?}");
    assert_eq!(fs::read_to_string(bundle.root("secret.txt")).unwrap(), "secret");
    let mounts = bundle.run(&["cat", "/proc/self/mountinfo"]).ok();
    let tmpfs: Vec<_> = mounts
        .lines()
        .filter(|line| line.contains(" /secret ") || line.contains(" /sys/firmware "))
        .collect();
    let devices: std::collections::BTreeSet<_> =
        tmpfs.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!((tmpfs.len(), devices.len()), (2, 1), "directories share one file system: {mounts}");
}

#[test]
fn a_mask_follows_links_of_the_image_only_inside() {
    let canary = Canary::new("mask");
    let mut bundle = Bundle::new("masklink");
    symlink(canary.path(), bundle.root("link")).unwrap();
    fs::create_dir_all(bundle.root(canary.path().trim_start_matches('/'))).unwrap();
    bundle.linux().masked_paths.push("/link".into());
    bundle.sh(&format!("touch {}/x", canary.path())).fails(1);
}

#[test]
fn read_only_paths_and_root_refuse_writes() {
    let mut bundle = Bundle::new("readonly");
    fs::create_dir_all(bundle.root("data/below")).unwrap();
    bundle.linux().readonly_paths.push("/data".into());
    let answer = bundle.sh("echo x >/proc/sys/kernel/hostname; touch /data/x /data/below/x; touch /tmp/fine");
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.err.matches("Read-only file system").count(), 3, "{answer:?}");
    bundle.spec.root.as_mut().unwrap().readonly = true;
    assert!(bundle.run(&["touch", "/x"]).fails(1).contains("Read-only file system"));
}

#[test]
fn bind_mounts_have_their_options_and_their_place() {
    let mut bundle = Bundle::new("bind");
    let source = bundle.directory.join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::File::create(source.join("file")).unwrap();
    let (source, file) = (source.to_str().unwrap().to_owned(), source.join("file"));
    bundle.mount(&source, "/a/rw", "bind", &["rbind"]);
    bundle.mount(&source, "/a/ro", "bind", &["rbind", "ro", "nosuid"]);
    bundle.mount("source", "/a/relative", "none", &["bind", "noexec"]);
    bundle.mount(file.to_str().unwrap(), "/a/new-file", "bind", &["bind"]);
    let out =
        bundle.sh("touch /a/rw/made; touch /a/ro/x; ls /a/relative; test -f /a/new-file; echo $?; mount").out;
    assert!(out.starts_with("file\nmade\nsub\n0\n"), "{out}");
    let line =
        |place: &str| out.lines().find(|line| line.contains(&format!(" on {place} "))).unwrap().to_owned();
    assert!(line("/a/ro").contains("(ro,nosuid,"), "{out}");
    assert!(line("/a/relative").contains("noexec"), "{out}");
    assert!(file.with_file_name("made").exists() && !file.with_file_name("x").exists());
}

#[test]
fn recursive_read_only_reaches_the_mounts_below() {
    let mut bundle = Bundle::new("rro");
    fs::create_dir_all(bundle.directory.join("source/below")).unwrap();
    bundle.mount("tmpfs", "/m", "tmpfs", &["mode=755"]);
    // A container inside a mount namespace of its own gives a source with a mount below it.
    let script = format!(
        "mount -t tmpfs x {0}/source/below && exec {1} --root {0}/state run --bundle {0} {2}",
        bundle.directory.display(),
        env!("CARGO_BIN_EXE_corten-runtime"),
        bundle.id
    );
    for (option, writable) in [("ro", true), ("rro", false)] {
        let mounts = bundle.spec.mounts.len();
        bundle.mount("source", "/data", "bind", &["rbind", option]);
        bundle.process().args = ["touch", "/data/below/x"].map(str::to_owned).to_vec();
        bundle.save();
        let status =
            std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]).status().unwrap();
        assert_eq!(status.success(), writable, "{option}");
        bundle.spec.mounts.truncate(mounts);
    }
}

#[test]
fn a_tmpfs_takes_its_options_or_the_directorys_mode_and_may_copy_up() {
    let mut bundle = Bundle::new("tmpfs");
    bundle.put("data/file", "content");
    symlink("file", bundle.root("data/link")).unwrap();
    fs::set_permissions(bundle.root("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    bundle.mount("tmpfs", "/tmp", "tmpfs", &["size=64k", "nosuid"]);
    bundle.mount("tmpfs", "/data", "tmpfs", &["tmpcopyup", "ro"]);
    bundle.mount("tmpfs", "/run", "tmpfs", &["mode=700"]);
    let out = bundle
        .sh("stat -c %a /tmp /run; cat /data/link; mount | grep -c 'on /tmp .*size=64k'; touch /data/x");
    assert_eq!(out.out, "1777\n700\ncontent1\n");
    assert!(out.err.contains("Read-only file system"));
}

#[test]
fn a_mount_that_fails_says_which_and_why() {
    let mut bundle = Bundle::new("badmount");
    let mounts = bundle.spec.mounts.len();
    for (source, destination, kind, options, texts) in [
        ("/no/such", "/mnt", "bind", ["rbind"].as_slice(), ["\"/no/such\"", "no such file or directory"]),
        ("tmpfs", "/mnt", "tmpfs", &["nonsense=1"], ["to rootfs at \"/mnt\"", "nonsense"]),
        ("x", "/mnt", "nofs", &[], ["file system type \"nofs\"", "no such device"]),
        ("/etc", "/etc/passwd", "bind", &["rbind"], ["to rootfs at \"/etc/passwd\"", "not a directory"]),
        ("tmpfs", "/etc/passwd/x", "tmpfs", &[], ["create mount point", "not a directory"]),
    ] {
        bundle.mount(source, destination, kind, options);
        let answer = bundle.run(&["true"]);
        assert_ne!(answer.code, Some(0));
        assert!(texts.iter().all(|text| answer.err.contains(text)), "{answer:?}");
        bundle.spec.mounts.truncate(mounts);
    }
}

#[test]
fn nothing_is_mounted_over_proc() {
    let canary = Canary::new("overproc");
    let mut bundle = Bundle::new("overproc");
    symlink("/proc/sys", bundle.root("innocent")).unwrap();
    let mounts = bundle.spec.mounts.len();
    for destination in ["/proc/self", "/proc/sys/kernel", "/innocent", "/proc/../proc/tty"] {
        bundle.mount(canary.path(), destination, "bind", &["rbind"]);
        let answer = bundle.run(&["true"]);
        assert!(
            answer.err.contains("cannot be mounted because it is inside /proc"),
            "{destination}: {answer:?}"
        );
        bundle.spec.mounts.truncate(mounts);
    }
    bundle.mount(canary.path(), "/proc", "bind", &["rbind"]);
    assert!(bundle.run(&["true"]).err.contains("cannot be mounted because it is not of type proc"));
    bundle.spec.mounts.truncate(mounts);
    // What lxcfs does is allowed.
    let file = bundle.put("uptime", "1.00 1.00\n");
    bundle.mount(file.to_str().unwrap(), "/proc/uptime", "bind", &["bind"]);
    assert_eq!(bundle.run(&["cat", "/proc/uptime"]).ok(), "1.00 1.00\n");
}

#[test]
fn images_with_links_for_special_directories_are_refused() {
    for name in ["proc", "sys", "dev"] {
        let canary = Canary::new(name);
        let mut bundle = Bundle::new(&format!("link{name}"));
        symlink(canary.path(), bundle.root(name)).unwrap();
        let error = bundle.run(&["true"]);
        assert_ne!(error.code, Some(0), "{name}: {error:?}");
        assert!(error.err.contains("it must be mounted on an ordinary directory"), "{name}: {error:?}");
        // The same without a mount of its own there.
        bundle.spec.mounts.retain(|mount| !mount.destination.starts_with(format!("/{name}")));
        let _ = bundle.run(&["true"]);
    }
}

#[test]
fn links_on_the_way_to_a_mount_point_stay_inside() {
    let canary = Canary::new("way");
    let mut bundle = Bundle::new("linkway");
    symlink(canary.path(), bundle.root("absolute")).unwrap();
    symlink("../../../../../../../..", bundle.root("up")).unwrap();
    for destination in ["/absolute/x", "/up/tmp/y", "/../../../../z", "/absolute"] {
        bundle.mount("tmpfs", destination, "tmpfs", &[]);
    }
    let inside = canary.path().trim_start_matches('/').to_owned();
    let out = bundle.sh("mount | grep '^tmpfs on /[tz]' | sort").ok();
    assert!(out.contains("on /tmp/y ") && out.contains("on /z ") && out.contains(canary.path()), "{out}");
    assert!(bundle.root(&inside).join("x").is_dir() || bundle.root(&inside).is_dir());
}

#[test]
fn a_replaced_device_in_an_images_dev_is_refused() {
    let canary = Canary::new("null");
    let mut bundle = Bundle::new("devnull");
    bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    bundle.put("dev/placeholder", "");
    symlink(Path::new(canary.path()).join("x"), bundle.root("dev/null")).unwrap();
    assert!(bundle.run(&["true"]).err.contains("error creating device /dev/null"));
    fs::remove_file(bundle.root("dev/null")).unwrap();
    // Without the trick an image's own /dev works.
    bundle.run(&["true"]).ok();
}

#[test]
fn the_runtimes_own_file_cannot_be_written_from_inside() {
    let mut bundle = Bundle::new("self");
    bundle.put_program("evil", "#!/proc/self/exe\n");
    let before = fs::metadata(env!("CARGO_BIN_EXE_corten-runtime")).unwrap();
    bundle.start();
    let id = bundle.id.clone();
    let answer = bundle.exec(&[&id, "/evil", "features"]);
    let writer = bundle.exec(&[&id, "sh", "-c", "for p in /proc/[0-9]*; do echo x >$p/exe; done 2>&1; true"]);
    let after = fs::metadata(env!("CARGO_BIN_EXE_corten-runtime")).unwrap();
    assert_eq!((before.len(), before.mtime()), (after.len(), after.mtime()), "{answer:?} {writer:?}");
    assert_eq!(bundle.exec(&["--help"]).code, Some(0));
}

#[test]
fn the_cgroup_mount_shows_the_containers_own_directory() {
    let mut bundle = Bundle::new("cgmount");
    let out =
        bundle.sh("cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs; touch /sys/fs/cgroup/x");
    let pids: Vec<_> = out.out.split_whitespace().collect();
    assert!(pids.contains(&"1") && pids.len() <= 2, "{out:?}");
    assert!(out.err.contains("Read-only file system"), "{out:?}");
}

#[test]
fn mounts_neither_leave_nor_enter_the_container() {
    let mut bundle = Bundle::new("propagation");
    let out = bundle.run(&["cat", "/proc/self/mountinfo"]).ok();
    assert!(!out.contains("shared:") && !out.contains("master:"), "{out}");
    bundle.linux().rootfs_propagation = Some("shared".into());
    let out = bundle.run(&["cat", "/proc/self/mountinfo"]).ok();
    assert!(out.lines().next().unwrap().contains("shared:"), "{out}");
    bundle.linux().rootfs_propagation = Some("sideways".into());
    assert!(bundle.run(&["true"]).fails(125).contains("rootfsPropagation \"sideways\""));
}

#[test]
fn chroot_serves_where_pivot_root_cannot() {
    let mut bundle = Bundle::new("nopivot");
    bundle.process().args = ["ls", "/"].map(str::to_owned).to_vec();
    bundle.save();
    let out =
        bundle.call(&["run", "--no-pivot", "--bundle", bundle.directory.to_str().unwrap(), &bundle.id]).ok();
    assert_eq!(
        out.split_whitespace().collect::<Vec<_>>(),
        ["bin", "dev", "etc", "proc", "root", "sys", "tmp"]
    );
}
