//! Names, and what removing one does.

use images::{ImageId, ImageUser, ImportOptions, Removed};

use crate::fixture::{DataRoot, import, nobody, rootfs};

#[test]
fn a_name_moves_to_the_image_it_was_given_last() {
    let root = DataRoot::new();
    let images = root.open();
    let first = import(&images, &rootfs(), "app");
    let options = ImportOptions { changes: vec!["CMD x".into()], ..ImportOptions::default() };
    let second = images.import(rootfs().as_slice(), &options).unwrap();
    images.tag("app", &"other:2".parse().unwrap()).unwrap();
    images.tag(second.short(), &"app".parse().unwrap()).unwrap();
    assert_eq!(images.resolve("app:latest").unwrap().id, second);
    assert_eq!(images.get(&first).unwrap().repo_tags(), ["other:2"]);
    drop(images);
    let images = root.open();
    assert_eq!(images.resolve("app").unwrap().id, second);
    assert_eq!(images.resolve("other:2").unwrap().id, first);
}

#[test]
fn what_is_not_there_is_called_by_its_full_name() {
    let root = DataRoot::new();
    let images = root.open();
    for (text, expected) in [
        ("nope", "No such image: nope:latest"),
        ("nope:1", "No such image: nope:1"),
        ("docker.io/library/nope", "No such image: nope:latest"),
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("", "invalid reference format"),
    ] {
        assert_eq!(images.resolve(text).unwrap_err().to_string(), expected, "{text:?}");
    }
    let id = "a".repeat(64);
    assert_eq!(images.resolve(&id).unwrap_err().to_string(), format!("No such image: sha256:{id}"));
}

#[test]
fn only_who_resolves_is_told_of_a_similar_name() {
    let root = DataRoot::new();
    let images = root.open();
    import(&images, &rootfs(), "webserver");
    let said = images.resolve("webservr").unwrap_err().to_string();
    assert_eq!(said, "No such image: webservr:latest (did you mean \"webserver:latest\"?)");
    assert_eq!(images.look_up("webservr").unwrap_err().to_string(), "No such image: webservr:latest");
    assert_eq!(images.look_up("webserver").unwrap().id, images.resolve("webserver").unwrap().id);
}

#[test]
fn the_beginning_of_several_ids_is_refused() {
    let root = DataRoot::new();
    let images = root.open();
    let mut by_first_digit = std::collections::HashMap::new();
    for n in 0..17 {
        let options = ImportOptions { changes: vec![format!("ENV N={n}")], ..ImportOptions::default() };
        let id = images.import(rootfs().as_slice(), &options).unwrap();
        by_first_digit.entry(id.digest().hex()[..1].to_owned()).or_insert_with(Vec::new).push(id);
    }
    // Seventeen ids cannot all begin differently.
    let (digit, _) = by_first_digit.iter().find(|(_, ids)| ids.len() > 1).unwrap();
    let error = images.resolve(digit).unwrap_err().to_string();
    assert!(error.starts_with(&format!("No such image: {digit}:latest")), "{error}");
    assert!(error.contains("image ids begin with"), "{error}");
}

#[test]
fn names_go_one_by_one_and_the_last_takes_the_image_along() {
    let root = DataRoot::new();
    let images = root.open();
    let id = import(&images, &rootfs(), "app:1");
    let diff_id = images.get(&id).unwrap().layers[0].diff_id.to_string();
    images.tag("app:1", &"app:2".parse().unwrap()).unwrap();
    images.tag("app:1", &"team/app".parse().unwrap()).unwrap();
    let untagged = |name: &str| Removed::Untagged(name.to_owned());
    let several = images.remove(id.short(), false, true, &nobody).unwrap_err().to_string();
    let expected = format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        id.short()
    );
    assert_eq!(several, expected);
    assert_eq!(images.remove("app:2", false, true, &nobody).unwrap(), [untagged("app:2")]);
    assert_eq!(images.remove("app:1", false, true, &nobody).unwrap(), [untagged("app:1")]);
    let last = images.remove("team/app", false, true, &nobody).unwrap();
    assert_eq!(
        last,
        [untagged("team/app:latest"), Removed::Deleted(id.to_string()), Removed::Deleted(diff_id)]
    );
    assert!(root.is_empty());
    assert_eq!(
        images.remove("team/app", false, true, &nobody).unwrap_err().to_string(),
        "No such image: team/app:latest"
    );
}

#[test]
fn an_image_in_use_is_kept_from_removal() {
    let root = DataRoot::new();
    let images = root.open();
    let id = import(&images, &rootfs(), "app");
    let short = id.short().to_owned();
    let used =
        |running: bool| move |_: &ImageId| Some(ImageUser { container: "0123456789abcdef".into(), running });
    let refused = |text: &str, force: bool, running: bool| {
        images.remove(text, force, true, &used(running)).unwrap_err().to_string()
    };
    let by_name = format!(
        "conflict: unable to remove repository reference \"app\" (must force) - container 0123456789ab is using its \
         referenced image {short}"
    );
    assert_eq!(refused("app", false, false), by_name);
    assert_eq!(refused("app", false, true), by_name);
    assert_eq!(
        refused(&short, false, false),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container \
             0123456789ab"
        )
    );
    for force in [false, true] {
        assert_eq!(
            refused(&short, force, true),
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container \
                 0123456789ab"
            )
        );
    }
    // By name and with force, a running container loses the name only.
    let removed = images.remove("app", true, true, &used(true)).unwrap();
    assert_eq!(removed, [Removed::Untagged("app:latest".into())]);
    assert!(images.resolve(&short).unwrap().is_dangling());
}

#[test]
fn layers_outlive_a_forced_removal_until_the_container_goes() {
    let root = DataRoot::new();
    let images = root.open();
    let id = import(&images, &rootfs(), "app");
    let stopped = |_: &ImageId| Some(ImageUser { container: "0123456789abcdef".into(), running: false });
    let removed = images.remove("app", true, true, &stopped).unwrap();
    assert_eq!(removed, [Removed::Untagged("app:latest".into()), Removed::Deleted(id.to_string())]);
    assert!(
        images.resolve("app").is_err() && images.resolve(id.short()).is_err() && images.list().is_empty()
    );
    images.collect(&stopped).unwrap();
    assert!(images.get(&id).unwrap().lower_dirs[0].join("etc/passwd").exists());
    drop(images);

    let images = root.open();
    assert!(images.list().is_empty() && images.get(&id).is_some());
    let hold = images.hold(&id);
    images.collect(&nobody).unwrap();
    assert!(images.get(&id).is_some(), "held");
    drop(hold);
    images.collect(&nobody).unwrap();
    assert!(images.get(&id).is_none());
    assert!(root.is_empty());
}
