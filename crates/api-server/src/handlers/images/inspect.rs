//! `GET /images/{name}/json`.

use std::collections::BTreeMap;

use api_types::NEVER;
use api_types::config::Config;
use api_types::container::GraphDriver;
use api_types::image::{ImageInspect, Metadata, RootFs};
use http::StatusCode;
use images::Image;
use oci::image::ImageConfig;
use oci::platform::Platform;
use serde_json::{Map, Value};

use super::blocking;
use crate::call::{self, Call};
use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::version::{ApiVersion, gates};

/// Members of a configuration that are about containers alone, with their values when unset.
const OF_CONTAINERS: &[(&str, Unset)] = &[
    ("AttachStderr", Unset::False),
    ("AttachStdin", Unset::False),
    ("AttachStdout", Unset::False),
    ("Domainname", Unset::Text),
    ("Hostname", Unset::Text),
    ("Image", Unset::Text),
    ("OpenStdin", Unset::False),
    ("StdinOnce", Unset::False),
    ("Tty", Unset::False),
];
/// Members that are always there, with their values when unset.
const ALWAYS: &[(&str, Unset)] = &[
    ("Cmd", Unset::Null),
    ("Entrypoint", Unset::Null),
    ("Env", Unset::Null),
    ("Labels", Unset::Null),
    ("OnBuild", Unset::Null),
    ("User", Unset::Text),
    ("Volumes", Unset::Null),
    ("WorkingDir", Unset::Text),
];

/// What Docker shows for something that is not set.
#[derive(Debug, Clone, Copy)]
enum Unset {
    Null,
    Text,
    False,
}

impl Unset {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text => Value::from(""),
            Self::False => Value::from(false),
        }
    }
}

/// `GET /images/{name}/json`.
pub(super) async fn inspect(call: &Call, name: &str) -> ApiResult {
    let wanted = call.query.non_empty("platform").map(platform).transpose()?;
    let asked = name.to_owned();
    let image = blocking(call, move |images, _| Ok(images.resolve(&asked)?)).await?;
    check_platform(&image, name, wanted.as_ref())?;
    call::json(&document(&image, call.version))
}

/// Refuses an image of another platform than the one that was asked for.
pub(super) fn check_platform(image: &Image, name: &str, wanted: Option<&Platform>) -> ApiResult<()> {
    let present = image.config.platform();
    match wanted {
        Some(wanted) if present.normal() != wanted.normal() => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!(
                "image with reference {name} was found but its platform ({present}) does not match the specified \
                 platform ({wanted})"
            ),
        )),
        _ => Ok(()),
    }
}

/// A platform as a JSON document, the form of API 1.48.
pub(super) fn platform(text: &str) -> ApiResult<Platform> {
    let failed = |reason: String| ApiError::bad_request(format!("failed to parse platform: {reason}"));
    let document: Value =
        serde_json::from_str(text).map_err(|error| failed(json::syntax_error(&error, text.as_bytes())))?;
    for part in ["os", "architecture"] {
        if document[part].as_str().is_none_or(str::is_empty) {
            return Err(ApiError::bad_request("both OS and Architecture must be provided"));
        }
    }
    serde_json::from_value(document).map_err(|error| failed(error.to_string()))
}

fn document(image: &Image, version: ApiVersion) -> ImageInspect {
    let raw: Value = serde_json::from_slice(&image.raw_config).unwrap_or_default();
    let size = i64::try_from(image.size()).unwrap_or(i64::MAX);
    let config = &image.config;
    let container_config = gates::IMAGE_CONTAINER_CONFIG.open(version).then(|| {
        let mut raw = raw.get("container_config").cloned().unwrap_or_default();
        api_types::strip_nulls(&mut raw);
        // It is for reading alone: what makes no sense is as good as unset.
        serde_json::from_value::<Config>(raw).unwrap_or_default()
    });
    ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.repo_tags(),
        repo_digests: image.repo_digests(),
        parent: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        comment: comment(config).to_owned(),
        created: config.created.clone(),
        container_config,
        docker_version: config.docker_version.clone(),
        author: config.author.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: String::new(),
        size,
        virtual_size: gates::VIRTUAL_SIZE.open(version).then_some(size),
        graph_driver: graph_driver(image),
        root_fs: RootFs {
            kind: "layers".to_owned(),
            layers: config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: Metadata {
            last_tag_time: image.last_tagged.map_or_else(|| NEVER.to_owned(), |time| time.to_string()),
        },
        descriptor: None,
        config: Some(run_config(raw.get("config"), version)),
    }
}

/// What was said at an import is in the document itself, what was said at a commit in its last step.
fn comment(config: &ImageConfig) -> &str {
    let last = config.history.last().map_or("", |step| step.comment.as_str());
    if config.comment.is_empty() { last } else { &config.comment }
}

/// The configuration with the members that its version of the API has.
fn run_config(raw: Option<&Value>, version: ApiVersion) -> Value {
    let mut config = members(raw);
    if gates::IMAGE_CONFIG_OF_CONTAINERS.open(version) {
        fill(&mut config, OF_CONTAINERS);
    } else {
        config.retain(|name, _| !OF_CONTAINERS.iter().any(|(known, _)| known == name));
    }
    fill(&mut config, ALWAYS);
    sorted(config)
}

fn members(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn fill(config: &mut Map<String, Value>, with: &[(&str, Unset)]) {
    for (name, unset) in with {
        config.entry(*name).or_insert_with(|| unset.value());
    }
}

fn sorted(mut members: Map<String, Value>) -> Value {
    members.sort_keys();
    members.into()
}

/// Where the layers are: the uppermost, and those below it.
fn graph_driver(image: &Image) -> GraphDriver {
    let mut directories = image.lower_dirs.iter().map(|path| path.display().to_string());
    let upper = directories.next().unwrap_or_default();
    let lower: Vec<_> = directories.collect();
    let mut data = BTreeMap::from([("UpperDir".to_owned(), upper)]);
    if !lower.is_empty() {
        data.insert("LowerDir".to_owned(), lower.join(":"));
    }
    GraphDriver { data: Some(data), name: "overlay2".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(path: &str) -> ApiVersion {
        crate::version::split(path).unwrap().0
    }

    #[test]
    fn a_configuration_shows_what_its_version_has() {
        let raw = json!({"Cmd": ["sh"], "Hostname": "x", "Unknown": 1});
        let new = run_config(Some(&raw), at("/v1.50/x"));
        assert_eq!(new["Cmd"], json!(["sh"]));
        assert_eq!((&new["Unknown"], new.get("Hostname"), &new["Env"]), (&json!(1), None, &Value::Null));
        let old = run_config(Some(&raw), at("/v1.49/x"));
        assert_eq!((&old["Hostname"], &old["Tty"]), (&json!("x"), &json!(false)));
    }
}
