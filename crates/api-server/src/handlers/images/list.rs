//! `GET /images/json`.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::image::ImageSummary;
use engine::params::{Filters, LabelFilter, ListQuery};
use images::{Image, Images};
use jiff::Timestamp;
use oci::reference::Reference;

use super::blocking;
use crate::call::{self, Call};
use crate::error::{ApiError, ApiResult};
use crate::pattern;
use crate::query::point_in_time;
use crate::version::{ApiVersion, gates};

/// Filters that an image list knows.
const KNOWN: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];

/// `GET /images/json`.
pub(crate) async fn list(call: Call) -> ApiResult {
    let mut filters = call.query.filters()?;
    // Up to API 1.40 a pattern had a parameter of its own.
    if let Some(pattern) =
        call.query.non_empty("filter").filter(|_| gates::IMAGE_FILTER_PARAMETER.open(call.version))
    {
        filters.0.entry("reference".to_owned()).or_default().push(pattern.to_owned());
    }
    if let Some(unknown) = filters.0.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(ApiError::bad_request(format!("invalid filter '{unknown}'")));
    }
    let (all, shared_sizes) = (call.query.flag("all"), call.query.flag("shared-size"));
    let counted = gates::IMAGE_CONTAINERS.open(call.version);
    let users = if counted { Some(users(&call).await?) } else { None };
    let version = call.version;
    let summaries = blocking(&call, move |images, _| {
        let wanted = Wanted::new(&filters, images)?;
        let known = images.list();
        let shared = shared_sizes.then(|| layer_uses(&known));
        let mut chosen: Vec<_> = known
            .into_iter()
            .filter(|image| all || !image.is_dangling() || images.children(&image.id).is_empty())
            .filter_map(|image| wanted.names_of(&image).map(|names| (image, names)))
            .collect();
        chosen.sort_by_key(|(image, _)| std::cmp::Reverse(created(image)));
        Ok(chosen
            .iter()
            .map(|(image, names)| summary(image, names, version, shared.as_ref(), users.as_ref()))
            .collect::<Vec<_>>())
    })
    .await?;
    if !gates::NONE_NAMES.open(version) {
        return call::json(&summaries);
    }
    // No digests were null then.
    let mut document = serde_json::to_value(summaries).unwrap_or_default();
    for image in document.as_array_mut().into_iter().flatten() {
        null_if_empty(&mut image["RepoDigests"]);
    }
    call::json(&document)
}

/// All images with their shared sizes and users, as the list of what takes space has them; and the bytes of all layers.
pub(in crate::handlers) async fn shown_usage(call: &Call) -> ApiResult<(serde_json::Value, u64)> {
    let users = users(call).await?;
    let version = call.version;
    blocking(call, move |images, _| {
        let known = images.list();
        let shared = layer_uses(&known);
        let mut shown: Vec<_> = known
            .iter()
            .filter(|image| !image.is_dangling() || images.children(&image.id).is_empty())
            .collect();
        shown.sort_by_key(|image| std::cmp::Reverse(created(image)));
        let mut list = serde_json::Value::Array(Vec::new());
        for image in shown {
            let mut summary = summary(image, &image.names, ApiVersion::MAX, Some(&shared), Some(&users));
            summary.virtual_size = gates::VIRTUAL_SIZE.open(version).then_some(summary.size);
            let mut summary = serde_json::to_value(summary).unwrap_or_default();
            // Here, unlike in the list of images, no names are null.
            for names in ["RepoTags", "RepoDigests"] {
                null_if_empty(&mut summary[names]);
            }
            list.as_array_mut().into_iter().for_each(|list| list.push(summary.take()));
        }
        Ok((list, images.layers_size()))
    })
    .await
}

fn null_if_empty(list: &mut serde_json::Value) {
    if list.as_array().is_some_and(Vec::is_empty) {
        *list = serde_json::Value::Null;
    }
}

/// Containers by image id.
async fn users(call: &Call) -> ApiResult<HashMap<String, i64>> {
    let containers = call.app.engine.list(ListQuery { all: true, ..ListQuery::default() }).await?;
    let mut users = HashMap::new();
    for container in containers {
        *users.entry(container.image_id).or_default() += 1;
    }
    Ok(users)
}

fn layer_uses(images: &[Arc<Image>]) -> HashMap<String, usize> {
    let mut uses = HashMap::new();
    for layer in images.iter().flat_map(|image| &image.layers) {
        *uses.entry(layer.diff_id.to_string()).or_default() += 1;
    }
    uses
}

/// Unix seconds; images without a time are as old as can be.
fn created(image: &Image) -> i64 {
    image.created().map_or(0, Timestamp::as_second)
}

fn summary(
    image: &Image,
    names: &[Reference],
    version: ApiVersion,
    uses: Option<&HashMap<String, usize>>,
    users: Option<&HashMap<String, i64>>,
) -> ImageSummary {
    let (digests, tags): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.digest().is_some());
    let familiar = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect::<Vec<_>>();
    let (mut repo_tags, mut repo_digests) = (familiar(tags), familiar(digests));
    if gates::NONE_NAMES.open(version) && repo_tags.is_empty() && repo_digests.is_empty() {
        repo_tags = vec!["<none>:<none>".to_owned()];
        repo_digests = vec!["<none>@<none>".to_owned()];
    }
    let size = i64::try_from(image.size()).unwrap_or(i64::MAX);
    let shared = uses.map(|uses| {
        let shared =
            image.layers.iter().filter(|layer| uses.get(&layer.diff_id.to_string()).is_some_and(|n| *n > 1));
        i64::try_from(shared.map(|layer| layer.size).sum::<u64>()).unwrap_or(i64::MAX)
    });
    let id = image.id.to_string();
    ImageSummary {
        containers: users.map_or(-1, |users| users.get(&id).copied().unwrap_or(0)),
        created: created(image),
        id,
        labels: image.config.config.labels.clone(),
        parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        descriptor: None,
        repo_digests,
        repo_tags,
        shared_size: shared.unwrap_or(-1),
        size,
        virtual_size: gates::VIRTUAL_SIZE.open(version).then_some(size),
    }
}

/// Which images a list's filters let through.
#[derive(Debug)]
struct Wanted {
    dangling: Option<bool>,
    labels: Vec<LabelFilter>,
    references: Vec<String>,
    /// Made before these times.
    before: Vec<i64>,
    /// Made after these times.
    since: Vec<i64>,
}

impl Wanted {
    fn new(filters: &Filters, images: &Images) -> ApiResult<Self> {
        let values = |name: &str| filters.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let time_of = |name: &String| -> ApiResult<i64> {
            let image = images.resolve(name)?;
            Ok(created(&image))
        };
        let mut before = values("before").iter().map(time_of).collect::<ApiResult<Vec<_>>>()?;
        for until in values("until") {
            before.push(point_in_time(until).map_err(|_| {
                ApiError::internal(format!("failed to parse value as time or duration: {until:?}"))
            })?);
        }
        if let given @ [_, _, ..] = values("dangling") {
            return Err(ApiError::bad_request(format!("invalid filter 'dangling=[{}]'", given.join(" "))));
        }
        for pattern in values("reference") {
            if !pattern::is_well_formed(pattern) {
                return Err(ApiError::internal("syntax error in pattern"));
            }
        }
        let dangling = values("dangling").iter().map(|value| match value.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(ApiError::bad_request(format!("invalid filter 'dangling=[{other}]'"))),
        });
        Ok(Self {
            dangling: dangling.collect::<ApiResult<Vec<_>>>()?.first().copied(),
            labels: values("label").iter().map(|text| LabelFilter::parse(text)).collect(),
            references: values("reference").to_vec(),
            before,
            since: values("since").iter().map(time_of).collect::<ApiResult<Vec<_>>>()?,
        })
    }

    /// The names an image is shown with; none when it is not wanted.
    fn names_of(&self, image: &Image) -> Option<Vec<Reference>> {
        let at = created(image);
        let labels = image.config.config.labels.as_ref();
        let wanted = self.dangling.is_none_or(|dangling| dangling == image.is_dangling())
            && self.labels.iter().all(|label| label.matches(labels))
            && self.before.iter().all(|limit| at < *limit)
            && self.since.iter().all(|limit| at > *limit);
        if !wanted {
            return None;
        }
        if self.references.is_empty() {
            return Some(image.names.clone());
        }
        let matching: Vec<_> = image.names.iter().filter(|name| self.matches(name)).cloned().collect();
        (!matching.is_empty()).then_some(matching)
    }

    /// A pattern matches a whole reference, or a name without its tag.
    fn matches(&self, name: &Reference) -> bool {
        let (whole, repository) = (name.familiar(), name.familiar_name());
        self.references.iter().any(|text| {
            pattern::matches(text, &whole)
                || pattern::matches(text, &repository)
                // `docker.io/library/busybox` means `busybox`.
                || text.parse::<Reference>().is_ok_and(|wanted| {
                    wanted.name() == name.name() && wanted.tag().is_none_or(|tag| name.tag() == Some(tag))
                })
        })
    }
}
