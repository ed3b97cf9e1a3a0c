//! Removing what nobody uses.

use images::{Image, ImageId, ImageUser, ImportOptions, Removed};

use crate::fixture::{DataRoot, import, nobody, rootfs};

/// What `prune` removed, without the digests' digits.
fn lines(pruned: &images::Pruned) -> Vec<String> {
    let all = pruned.images.iter().flat_map(|(_, removed)| removed);
    all.map(|removed| match removed {
        Removed::Untagged(name) => format!("untagged {name}"),
        Removed::Deleted(digest) => format!("deleted {}", &digest[..7]),
    })
    .collect()
}

#[test]
fn images_without_a_name_go_and_shared_layers_stay() {
    let root = DataRoot::new();
    let images = root.open();
    let kept = import(&images, &rootfs(), "app");
    let options = ImportOptions { changes: vec!["CMD x".into()], ..ImportOptions::default() };
    images.import(rootfs().as_slice(), &options).unwrap();
    let pruned = images.prune(Image::is_dangling, &nobody).unwrap();
    assert_eq!((lines(&pruned), pruned.reclaimed), (vec!["deleted sha256:".to_owned()], 0));
    assert_eq!(images.list().iter().map(|image| image.id.clone()).collect::<Vec<_>>(), [kept]);
    assert_eq!(root.layers().len(), 1);
}

#[test]
fn an_image_that_a_container_uses_keeps_all_its_names() {
    let root = DataRoot::new();
    let images = root.open();
    let id = import(&images, &rootfs(), "app");
    images.tag("app", &"other:2".parse().unwrap()).unwrap();
    let user = |_: &ImageId| Some(ImageUser { container: "c".repeat(64), running: false });
    assert!(images.prune(|_| true, &user).unwrap().images.is_empty());
    assert_eq!(images.get(&id).unwrap().repo_tags(), ["app:latest", "other:2"]);
    let hold = images.hold(&id).unwrap();
    assert!(images.prune(|_| true, &nobody).unwrap().images.is_empty());
    drop(hold);
    let size = images.layers_size();
    assert!(size > 0);
    let pruned = images.prune(|_| true, &nobody).unwrap();
    assert_eq!(
        lines(&pruned),
        ["untagged app:latest", "untagged other:2", "deleted sha256:", "deleted sha256:"]
    );
    assert_eq!((pruned.reclaimed, images.layers_size()), (size, 0));
    assert!(root.is_empty(), "{:?}", root.layers());
}
