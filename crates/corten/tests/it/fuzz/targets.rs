//! Everything that reads what strangers wrote, as functions of bytes. They may refuse; they may not panic, hang or
//! overflow the stack. The fuzz targets in `fuzz/` are these functions too.

use std::io::{self, Read};

/// JSON bodies of requests.
pub(crate) fn request_body(data: &[u8]) {
    api_server::fuzzing::request_body(data);
}

/// Heads of HTTP requests.
pub(crate) fn request_head(data: &[u8]) {
    api_server::fuzzing::request_head(data);
}

/// Queries: filters, times, numbers, patterns.
pub(crate) fn query(data: &[u8]) {
    api_server::fuzzing::query(data);
}

/// `--format` templates.
pub(crate) fn template(data: &[u8]) {
    cli::fuzzing::template(data);
}

/// Flags that have a language of their own.
pub(crate) fn flags(data: &[u8]) {
    cli::fuzzing::flags(data);
}

/// Log files, read forwards and from their end.
pub(crate) fn log_file(data: &[u8]) {
    engine::fuzzing::log_file(data);
}

/// OCI runtime specifications.
pub(crate) fn runtime_spec(data: &[u8]) {
    if let Ok(spec) = serde_json::from_slice::<oci::runtime::Spec>(data) {
        let written = serde_json::to_vec(&spec).expect("what was read can be written");
        let again: oci::runtime::Spec =
            serde_json::from_slice(&written).expect("what was written can be read");
        assert_eq!(spec, again);
    }
}

/// Configurations, manifests and indexes of images.
pub(crate) fn image_documents(data: &[u8]) {
    let _ = serde_json::from_slice::<oci::image::Manifest>(data);
    let _ = serde_json::from_slice::<oci::image::Index>(data);
    if let Ok(config) = serde_json::from_slice::<oci::image::ImageConfig>(data) {
        let _ = config.platform().normal();
        let _ = oci::image::chain_ids(&config.rootfs.diff_ids);
    }
}

/// Names of images and platforms.
pub(crate) fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(reference) = text.parse::<oci::reference::Reference>() {
        let again: oci::reference::Reference = reference.to_string().parse().expect("a name is a name");
        assert_eq!(reference, again);
        let _ = (reference.familiar(), reference.with_default_tag());
    }
    if let Ok(platform) = text.parse::<oci::platform::Platform>() {
        let _ = platform.runs_on(&oci::platform::Platform::host());
    }
}

/// Instructions of `import -c` and `commit -c`.
pub(crate) fn changes(data: &[u8]) {
    let lines: Vec<String> = String::from_utf8_lossy(data).lines().map(str::to_owned).collect();
    let _ = images::changes::apply(oci::image::RunConfig::default(), &lines);
}

/// Packets between the engine and a shim.
pub(crate) fn shim_packet(data: &[u8]) {
    use shim::codec::sequence_of;
    let _ = shim::protocol::Request::decode(data);
    let _ = shim::protocol::FromShim::decode(data);
    let _ = sequence_of(data);
}

/// Archives.
pub(crate) fn tar(data: &[u8]) {
    let mut reader = archive::tar::Reader::new(data);
    let mut content = 0;
    while let Ok(Some(_)) = reader.next() {
        // What an archive says of its size is no reason to believe it.
        let limit = data.len() as u64 + 1;
        content += io::copy(&mut reader.payload().take(limit), &mut io::sink()).unwrap_or(0);
    }
    assert!(content <= data.len() as u64, "more content than archive");
}
