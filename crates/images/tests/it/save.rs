//! Images that are saved and loaded again.

use images::{ImportOptions, LoadOptions};

use crate::fixture::{DataRoot, import, nobody, rootfs};

#[test]
fn a_saved_image_is_the_same_in_another_store() {
    let (here, there) = (DataRoot::new(), DataRoot::new());
    let (from, to) = (here.open(), there.open());
    let first = import(&from, &rootfs(), "app:1");
    let options = ImportOptions { changes: vec!["CMD a && b".into()], ..ImportOptions::default() };
    let second = from.import(rootfs().as_slice(), &options).unwrap();
    from.tag("app:1", &"app:2".parse().unwrap()).unwrap();
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let archive = from.save(&texts(&["app", second.short(), "app:1"]), Vec::new()).unwrap();
    assert!(archive == from.save(&texts(&["app", second.short(), "app:1"]), Vec::new()).unwrap());
    let loaded = to.load(archive.as_slice(), &LoadOptions::default(), &mut |_| {}).unwrap();
    let lines: Vec<String> = loaded.iter().flat_map(images::LoadedImage::lines).collect();
    assert_eq!(lines, ["Loaded image: app:1", "Loaded image: app:2", &format!("Loaded image ID: {second}")]);
    assert_eq!(to.get(&first).unwrap().raw_config, from.get(&first).unwrap().raw_config);
    assert_eq!(there.layers(), here.layers());
    // What was loaded can be removed and saved like any other.
    let again = to.save(&texts(&["app", second.short(), "app:1"]), Vec::new()).unwrap();
    assert!(again == archive);
    to.remove(second.short(), false, true, &nobody).unwrap();
    assert_eq!(to.save(&texts(&["nope"]), Vec::new()).unwrap_err().to_string(), "No such image: nope:latest");
}

#[test]
fn a_layout_without_dockers_manifest_gives_the_same_images() {
    let (here, there) = (DataRoot::new(), DataRoot::new());
    let (from, to) = (here.open(), there.open());
    let id = import(&from, &rootfs(), "app:1");
    let archive = from.save(&["app:1".to_owned()], Vec::new()).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path().unwrap().to_str() != Some("manifest.json") {
            builder.append(&entry.header().clone(), entry).unwrap();
        }
    }
    let layout = builder.into_inner().unwrap();
    let loaded = to.load(layout.as_slice(), &LoadOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((&loaded[0].id, loaded[0].lines()), (&id, vec!["Loaded image: app:1".to_owned()]));
}
