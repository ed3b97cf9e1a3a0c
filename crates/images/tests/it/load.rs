//! Archives of images.

use images::{Images, LoadError, LoadOptions, LoadProgress, LoadedImage};
use oci::digest::Digest;
use serde_json::{Value, json};

use crate::fixture::{Archive, DataRoot, gzip, import, nobody, rootfs};

fn load(images: &Images, archive: &[u8]) -> Result<(Vec<LoadedImage>, Vec<String>), LoadError> {
    let mut lines = Vec::new();
    let loaded = images.load(archive, &LoadOptions::default(), &mut |progress| {
        if let LoadProgress::Message(line) = progress {
            lines.push(line);
        }
    })?;
    Ok((loaded, lines))
}

fn upper_layer() -> Vec<u8> {
    Archive::new().file("etc/motd", b"hi\n").file("bin/.wh.sh", b"").dir("etc/").bytes()
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::sha256(layer).to_string()).collect();
    // An unknown field has to survive, since it is part of the id.
    json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]}, "moby.buildkit": {"x": 1},
        "history": [{"created_by": "one"}, {"created_by": "two", "empty_layer": true}, {"created_by": "three"}],
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    })
    .to_string()
    .into_bytes()
}

/// As old versions of Docker save: a folder per layer.
fn docker_archive(layers: &[&[u8]], names: &Value) -> Vec<u8> {
    let config = config(layers);
    let mut archive = Archive::new().file("config.json", &config);
    let mut paths = Vec::new();
    for (n, layer) in layers.iter().enumerate() {
        paths.push(format!("{n}/layer.tar"));
        archive = archive.dir(&format!("{n}/")).file(&format!("{n}/VERSION"), b"1.0").file(&paths[n], layer);
    }
    let manifest = json!([{"Config": "config.json", "RepoTags": names, "Layers": paths}]);
    archive.file("manifest.json", manifest.to_string().as_bytes()).bytes()
}

fn blob(archive: Archive, bytes: &[u8]) -> (Archive, Value) {
    let digest = Digest::sha256(bytes);
    let archive = archive.file(&format!("blobs/sha256/{}", digest.hex()), bytes);
    (archive, json!({"digest": digest.to_string(), "size": bytes.len()}))
}

fn typed(mut descriptor: Value, media_type: &str) -> Value {
    descriptor["mediaType"] = media_type.into();
    descriptor
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn manifest(mut archive: Archive, layers: &[(Vec<u8>, &str)], config: &[u8]) -> (Archive, Value) {
    let (with_config, config) = blob(archive, config);
    archive = with_config;
    let mut descriptors = Vec::new();
    for (layer, media_type) in layers {
        let (with_layer, descriptor) = blob(archive, layer);
        archive = with_layer;
        descriptors.push(typed(descriptor, media_type));
    }
    let document = json!({"schemaVersion": 2, "config": typed(config, CONFIG), "layers": descriptors});
    let (archive, descriptor) = blob(archive, document.to_string().as_bytes());
    (archive, typed(descriptor, MANIFEST))
}

fn with_index(archive: Archive, manifests: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    let archive = archive.file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
    archive.file("index.json", index.to_string().as_bytes()).bytes()
}

#[test]
fn what_docker_saves_is_loaded_with_its_names_and_history() {
    let root = DataRoot::new();
    let images = root.open();
    let (lower, upper) = (rootfs(), upper_layer());
    let archive = docker_archive(&[&lower, &upper], &json!(["app:1", "reg:5000/app:2"]));
    let (loaded, lines) = load(&images, &archive).unwrap();
    assert_eq!(lines, ["Loaded image: app:1", "Loaded image: reg:5000/app:2"]);
    let image = images.resolve("app:1").unwrap();
    assert_eq!(*image.id.digest(), Digest::sha256(config(&[&lower, &upper])));
    assert_eq!(loaded[0].id, image.id);
    assert_eq!(&*image.raw_config, config(&[&lower, &upper]));
    assert!(image.lower_dirs[0].join("etc/motd").exists() && image.lower_dirs[1].join("bin/sh").exists());
    let sizes: Vec<u64> = images.history(&image).iter().map(|step| step.size).collect();
    assert_eq!(sizes, [3, 0, 3029]);
    drop(images);

    // Again, and compressed as a whole: nothing new.
    let images = root.open();
    let (_, lines) = load(&images, &gzip(&archive)).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!((root.layers().len(), root.blobs().len(), images.list().len()), (2, 1, 1));
    images.remove("app:1", false, true, &nobody).unwrap();
    images.remove("reg:5000/app:2", false, true, &nobody).unwrap();
    assert!(root.is_empty());
}

#[test]
fn an_image_without_names_is_called_by_its_id_and_a_name_moves() {
    let root = DataRoot::new();
    let images = root.open();
    let old = import(&images, &upper_layer(), "app:1");
    let lower = rootfs();
    let (loaded, lines) = load(&images, &docker_archive(&[&lower], &Value::Null)).unwrap();
    assert_eq!(lines, [format!("Loaded image ID: {}", loaded[0].id)]);
    let (_, lines) = load(&images, &docker_archive(&[&lower], &json!(["app:1"]))).unwrap();
    let renaming =
        format!("The image app:1 already exists, renaming the old one with ID {old} to empty string");
    assert_eq!(lines, [renaming, "Loaded image: app:1".into()]);
    assert!(images.get(&old).unwrap().is_dangling());
}

#[test]
fn a_layout_is_loaded_with_layers_of_any_compression() {
    let root = DataRoot::new();
    let images = root.open();
    let (lower, upper) = (rootfs(), upper_layer());
    let layers = [(gzip(&lower), "application/vnd.oci.image.layer.v1.tar+gzip"), (upper.clone(), "x")];
    let (archive, mut entry) = manifest(Archive::new(), &layers, &config(&[&lower, &upper]));
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "app:1"});
    let (_, lines) = load(&images, &with_index(archive, &[entry])).unwrap();
    assert_eq!(lines, ["Loaded image: app:1"]);
    assert_eq!(images.resolve("app:1").unwrap().layers.len(), 2);
}

#[test]
fn of_an_index_the_image_for_this_machine_is_taken_unless_another_is_asked_for() {
    let root = DataRoot::new();
    let images = root.open();
    let lower = rootfs();
    let arm = String::from_utf8(config(&[&lower])).unwrap().replace("amd64", "arm64").into_bytes();
    let layers = [(lower.clone(), "x")];
    let (archive, mut amd64) = manifest(Archive::new(), &layers, &config(&[&lower]));
    let (archive, mut arm64) = manifest(archive, &[], &arm);
    amd64["platform"] = json!({"os": "linux", "architecture": "amd64"});
    arm64["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let mut attestation = amd64.clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let index = json!({"schemaVersion": 2, "manifests": [attestation, arm64, amd64]}).to_string();
    let (archive, nested) = blob(archive, index.as_bytes());
    let archive = with_index(archive, &[typed(nested, INDEX)]);
    let (loaded, _) = load(&images, &archive).unwrap();
    assert_eq!(*loaded[0].id.digest(), Digest::sha256(config(&[&lower])));
    let ask = |platform: &str| {
        let options = LoadOptions { platform: Some(platform.parse().unwrap()) };
        images.load(archive.as_slice(), &options, &mut |_| {})
    };
    let error = ask("linux/s390x").unwrap_err().to_string();
    assert_eq!(
        error,
        "no image of the archive is for linux/s390x; it has images for linux/arm64, linux/amd64"
    );
    // The arm64 manifest has no layers, which its configuration contradicts.
    let error = ask("linux/arm64").unwrap_err().to_string();
    assert_eq!(error, "invalid manifest, layers length mismatch: expected 0, got 1");
}

#[test]
fn layers_that_are_links_or_come_twice_are_one() {
    let root = DataRoot::new();
    let images = root.open();
    let lower = rootfs();
    let config = config(&[&lower, &lower]);
    let manifest =
        json!([{"Config": "./config.json", "RepoTags": ["a:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let archive = Archive::new()
        .file("manifest.json", manifest.to_string().as_bytes())
        .file("a/layer.tar", &lower)
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("config.json", &config)
        .bytes();
    load(&images, &archive).unwrap();
    let image = images.resolve("a:1").unwrap();
    assert_eq!((image.layers.len(), image.lower_dirs.len()), (2, 1));
    assert_eq!(root.layers().len(), 1);
}

#[test]
fn a_layer_of_another_digest_is_refused() {
    let root = DataRoot::new();
    let images = root.open();
    let (lower, upper) = (rootfs(), upper_layer());
    let swapped = |archive: Vec<u8>| {
        let good = Digest::sha256(&lower).to_string();
        let other = Digest::sha256(&upper).to_string();
        let at = archive.windows(good.len()).position(|w| w == good.as_bytes()).unwrap();
        [&archive[..at], other.as_bytes(), &archive[at + good.len()..]].concat()
    };
    // The checksums of headers cover no content, so the change is inside the configuration only.
    let archive = swapped(docker_archive(&[&lower], &json!(["a:1"])));
    let error = load(&images, &archive).unwrap_err().to_string();
    let (good, other) = (Digest::sha256(&lower), Digest::sha256(&upper));
    assert_eq!(error, format!("invalid diffID for layer 0: expected \"{other}\", got \"{good}\""));
    assert!(root.is_empty(), "{:?}", root.layers());
}

#[test]
fn damaged_blobs_and_missing_parts_are_named() {
    let root = DataRoot::new();
    let images = root.open();
    let lower = rootfs();
    let manifest = |config: &str, layer: &str| {
        json!([{"Config": config, "RepoTags": ["a:1"], "Layers": [layer]}]).to_string().into_bytes()
    };
    let configuration = config(&[&lower]);
    let wrong = format!("blobs/sha256/{}", "0".repeat(64));
    for (archive, expected) in [
        (Archive::new().file("x", b"y"), "invalid archive: it has neither manifest.json nor index.json"),
        (Archive::new().file("manifest.json", b"{"), "invalid archive: cannot read manifest.json"),
        (
            Archive::new().file("manifest.json", &manifest("c", "l")),
            "invalid archive: manifest.json names \"c\": no such file or directory in it",
        ),
        (
            Archive::new().file("manifest.json", &manifest("../../c", "l")).file("d", b"{}"),
            "invalid archive: manifest.json names \"../../c\": no such file",
        ),
        (
            Archive::new().file("manifest.json", &manifest("c", "l")).file("c", &configuration),
            "invalid archive: manifest.json names \"l\": no such file",
        ),
        (
            Archive::new()
                .file("manifest.json", &manifest("c", "l"))
                .file("c", &configuration)
                .file("l", &[b'x'; 2000]),
            "cannot unpack layer l: archive/tar: invalid tar header",
        ),
        (
            Archive::new()
                .file("manifest.json", &manifest("c", "l"))
                .file("c", &configuration)
                .file("l", &gzip(&lower)[..100]),
            "cannot unpack layer l: ",
        ),
        (
            Archive::new().file("manifest.json", &manifest(&wrong, "l")).file(&wrong, &configuration),
            "invalid archive: blobs/sha256/0000000000",
        ),
        (
            Archive::new()
                .file("manifest.json", &manifest("c", &wrong))
                .file("c", &configuration)
                .file(&wrong, &lower),
            "invalid archive: blobs/sha256/0000000000",
        ),
        (
            Archive::new().file("manifest.json", br#"[{"Config":"c","RepoTags":["UP"],"Layers":[]}]"#),
            "invalid tag \"UP\"",
        ),
        (
            Archive::new()
                .file("manifest.json", &manifest("c", "l"))
                .file("c", br#"{"os":"windows","rootfs":{"type":"layers"}}"#),
            "cannot load windows image on linux",
        ),
    ] {
        let error = load(&images, &archive.bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected:?}: {error:?}");
        assert!(root.is_empty(), "{expected}");
    }
    let whole = docker_archive(&[&lower], &json!(["a:1"]));
    for cut in [100, 700, 3000, whole.len() - 1526] {
        let error = load(&images, &whole[..cut]).unwrap_err().to_string();
        assert!(error.contains("unexpected EOF"), "cut at {cut}: {error}");
        assert!(root.is_empty());
    }
}

#[test]
fn equal_loads_at_once_give_one_image() {
    let root = DataRoot::new();
    let images = root.open();
    let lower = rootfs();
    let archive = docker_archive(&[&lower], &json!(["a:1"]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    load(&images, &archive).unwrap();
                    // Another thread may have removed it before, or may be using its layer just now.
                    let _ = images.remove("a:1", false, true, &nobody);
                }
            });
        }
    });
    load(&images, &archive).unwrap();
    assert!(images.resolve("a:1").unwrap().lower_dirs[0].join("etc/passwd").exists());
    images.remove("a:1", false, true, &nobody).unwrap();
    drop(images);
    let images = root.open();
    assert!(images.list().is_empty());
    assert!(root.is_empty(), "{:?}", root.layers());
}
