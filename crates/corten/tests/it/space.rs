//! What takes space, and pruning it.

use testkit::Host;

/// A host with a used and an unused image beside `busybox`, and a container of each state.
fn host_with_leftovers() -> Host {
    let host = Host::with_busybox();
    host.file("big/file", vec![b'x'; 300_000]);
    host.run("tar -C big -c file | corten import - unused:1").exits(0);
    host.run("tar -C big -c file | corten import -c 'CMD [\"/x\"]' -").exits(0);
    host.run("corten tag busybox also:1").exits(0);
    let write = "head -c 50000 /dev/zero > /own";
    host.run(&format!(
        "corten run -d --name runs --label keep=1 busybox sh -c '{write}; echo done; sleep 1000'"
    ))
    .exits(0);
    host.run(&format!("corten run --name ended --label a=1 busybox sh -c '{write}'")).exits(0);
    host.run("corten create --name fresh --label a=2 --label keep=1 busybox true").exits(0);
    host.until("the file is written", || host.run("corten logs runs").stdout() == "done\n");
    host
}

#[test]
fn df_counts_shared_layers_once_and_containers_own_files() {
    let host = host_with_leftovers();
    let busybox: i64 = host.inspect("busybox", "{{.Size}}").parse().unwrap();
    let usage = host.api("GET", "/system/df", None).is(200).json();
    assert_eq!(usage["LayersSize"], busybox + 300_000);
    let images = usage["Images"].as_array().unwrap();
    assert_eq!(images.len(), 3);
    for image in images {
        let (tags, containers, shared) = match image["RepoTags"][0].as_str() {
            None => (true, 0, 300_000),
            Some("unused:1") => (false, 0, 300_000),
            _ => (false, 3, 0),
        };
        assert_eq!(image["RepoTags"].is_null(), tags, "{image}");
        assert_eq!(
            (&image["Containers"], &image["SharedSize"]),
            (&containers.into(), &shared.into()),
            "{image}"
        );
    }
    let containers = usage["Containers"].as_array().unwrap();
    let sizes = |name: &str| {
        let container =
            containers.iter().find(|container| container["Names"][0] == format!("/{name}")).unwrap();
        (container["SizeRw"].as_i64(), container["SizeRootFs"].as_i64())
    };
    assert_eq!(sizes("runs"), (Some(50_000), Some(busybox + 50_000)));
    assert_eq!(sizes("ended"), (Some(50_000), Some(busybox + 50_000)));
    assert_eq!(sizes("fresh"), (None, Some(busybox)));
    let only = host.api("GET", "/system/df?type=volume", None).is(200).json();
    assert!(only["Images"].is_null() && only["Containers"].is_null() && only["Volumes"].is_array());
    host.api("GET", "/system/df?type=x", None).is(400);

    host.run("corten system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'")
        .prints("Images 3 1\nContainers 3 1\nLocal Volumes 0 0\nBuild Cache 0 0");
    host.run("corten system df").stdout_has("Containers      3         1         100kB     50kB (50%)");
    host.run("corten system df -v --format '{{range .Containers}}{{.Names}} {{.Size}},{{end}}'")
        .prints("fresh 0B,ended 50kB,runs 50kB,");
    host.run("corten system df -v").stdout_has("unused").stdout_has("Build cache usage: 0B");
    host.run("corten system df --format '{{.Foo}}'").fails_with("can't evaluate field Foo");
}

#[test]
fn container_prune_takes_what_does_not_run_and_fits_the_filters() {
    let host = host_with_leftovers();
    for (filter, kept) in [
        ("label=a=3", "fresh ended runs"),
        ("until=1h", "fresh ended runs"),
        ("label!=a --filter label!=keep", "fresh ended runs"),
    ] {
        host.run(&format!("corten container prune -f --filter {filter}")).prints("Total reclaimed space: 0B");
        host.run("corten ps -a --format '{{.Names}}' | xargs").prints(kept);
    }
    host.run("corten container prune -f --filter label!=keep=1")
        .prints("Deleted Containers:\n[ID64]\n\nTotal reclaimed space: 50kB");
    host.run("corten ps -a --format '{{.Names}}' | xargs").prints("fresh runs");
    host.run("corten container prune -f").prints("Deleted Containers:\n[ID64]\n\nTotal reclaimed space: 0B");
    host.run("corten container prune -f").prints("Total reclaimed space: 0B");
    host.run("corten ps -a --format '{{.Names}}'").prints("runs");
    host.run("corten container prune -f --filter foo=x").fails_with("invalid filter 'foo'").exits(1);
    host.run("corten container prune -f --filter until=x")
        .fails_with("failed to parse value as time or duration: \"x\"");
    host.run(
        "corten events --since 1h --until $((`date +%s` + 1)) --filter event=prune --format '{{.Actor.Attributes.reclaimed}}'",
    )
    .stdout_has("50000");
}

#[test]
fn image_prune_takes_nameless_images_or_all_that_no_container_uses() {
    let host = host_with_leftovers();
    host.run("corten image prune -f")
        .prints("Deleted Images:\ndeleted: sha256:[ID64]\n\nTotal reclaimed space: 0B");
    host.run("corten image prune -f").prints("Total reclaimed space: 0B");
    host.run("corten image prune -af --filter until=1h").prints("Total reclaimed space: 0B");
    host.run("corten image prune -af").prints(
        "Deleted Images:\nuntagged: unused:1\ndeleted: sha256:[ID64]\ndeleted: sha256:[ID64]\n\n\
         Total reclaimed space: 300kB",
    );
    // A container uses it, so it keeps both its names.
    host.run("corten images --format '{{.Repository}}:{{.Tag}}' | sort").prints("also:1\nbusybox:latest");
    host.run("corten image prune -af --filter dangling=true")
        .fails_with("invalid filter 'dangling=[false true]'");
}

#[test]
fn pruning_asks_first() {
    let host = host_with_leftovers();
    let question = "Are you sure you want to continue? [y/N] ";
    for answer in ["", "n\n", "yes\n", "\n"] {
        host.run_with_stdin("corten container prune", answer)
            .prints(&format!("WARNING! This will remove all stopped containers.\n{question}"));
    }
    assert_eq!(host.run("corten ps -aq | wc -l").line(), "3");
    let mut terminal = host.terminal("corten container prune");
    terminal.expect(question);
    terminal.write("Y\n");
    terminal.expect("Total reclaimed space: 50kB");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(host.run("corten ps -aq | wc -l").line(), "1");
    host.run("corten image prune -a < /dev/null").stdout_has(
        "WARNING! This will remove all images without at least one container associated to them.",
    );
    host.run("corten image prune < /dev/null").stdout_has("WARNING! This will remove all dangling images.");
}

#[test]
fn system_prune_takes_everything_that_nobody_uses() {
    let host = host_with_leftovers();
    host.run("corten system prune --filter label=x </dev/null").prints(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  \
         - all dangling images\n  - unused build cache\n\n  Items to be pruned will be filtered with:\n  - label=x\n\n\
         Are you sure you want to continue? [y/N] ",
    );
    for client in ["corten", "docker"] {
        host.run(&format!("{client} system prune -f --filter label=x")).prints("Total reclaimed space: 0B");
    }
    host.run("corten system prune -af")
        .exits(0)
        .stdout_has("Deleted Containers:\n[ID64]\n[ID64]\n\nDeleted Images:\n")
        .stdout_has("untagged: unused:1\ndeleted: sha256:[ID64]\n")
        .stdout_has("\n\nTotal reclaimed space: 350kB\n");
    host.run("corten images -q | sort -u | wc -l").prints("1");
    host.run("corten system prune -f --volumes").prints("Total reclaimed space: 0B");
    // Each kind is told, also one of which there was nothing.
    host.run(
        "corten events --since 1h --until $((`date +%s` + 1)) --filter event=prune --format '{{.Type}}' | sort -u",
    )
    .prints("builder\ncontainer\nimage\nnetwork\nvolume");
    host.run("corten system prune -f --volumes --filter until=1h")
        .fails_with("ERROR: The \"until\" filter is not supported with \"--volumes\"");
    host.run("corten system prune -f --filter foo=bar").fails_with("invalid filter 'foo'");
}
