//! The daemon itself: ping, version, info.

use api_types::system::{Component, PlatformName, Version};
use api_types::{MAX_API_VERSION, MIN_API_VERSION};
use axum::body::Body;
use http::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use http::{HeaderValue, Response};

use crate::call::{self, Call, with_type};
use crate::error::ApiResult;
use crate::host::Host;
use crate::info;

/// `GET` and `HEAD /_ping`.
pub(crate) async fn ping(_: Call) -> Response<Body> {
    let mut response = with_type("text/plain; charset=utf-8", Body::from("OK"));
    for (name, value) in [
        (HeaderName::from_static("builder-version"), "2"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (PRAGMA, "no-cache"),
        (HeaderName::from_static("swarm"), "inactive"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `GET /version`.
pub(crate) async fn version(_: Call) -> ApiResult {
    let host = Host::read();
    let commit = option_env!("CORTEN_GIT_COMMIT").unwrap_or_default();
    let built = option_env!("CORTEN_BUILD_TIME").unwrap_or_default();
    let toolchain = concat!("rust", env!("CARGO_PKG_RUST_VERSION"));
    let details = [
        ("ApiVersion", MAX_API_VERSION),
        ("Arch", oci_architecture()),
        ("BuildTime", built),
        ("Experimental", "false"),
        ("GitCommit", commit),
        ("GoVersion", toolchain),
        ("KernelVersion", host.kernel.as_str()),
        ("MinAPIVersion", MIN_API_VERSION),
        ("Os", "linux"),
    ];
    let component = |name: &str, version: &str, details: &[(&str, &str)]| Component {
        name: name.to_owned(),
        version: version.to_owned(),
        details: details.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    call::json(&Version {
        platform: PlatformName { name: "Corten".to_owned() },
        components: vec![
            component("Engine", crate::VERSION, &details),
            component("corten", env!("CARGO_PKG_VERSION"), &[("GitCommit", commit)]),
        ],
        version: crate::VERSION.to_owned(),
        api_version: MAX_API_VERSION.to_owned(),
        min_api_version: MIN_API_VERSION.to_owned(),
        git_commit: commit.to_owned(),
        go_version: toolchain.to_owned(),
        os: "linux".to_owned(),
        arch: oci_architecture().to_owned(),
        kernel_version: host.kernel,
        experimental: false,
        build_time: built.to_owned(),
    })
}

/// The architecture this was built for, by its name in images.
fn oci_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /info`.
pub(crate) async fn info(call: Call) -> ApiResult {
    call::json(&info::document(&call.app, call.version))
}
