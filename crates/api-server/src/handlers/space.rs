//! What takes space, and pruning.

use api_types::image::DeleteResponse;
use api_types::space::{
    BuildCachePruned, ContainersPruned, DiskUsage, ImagesPruned, NetworksPruned, VolumesPruned,
};
use engine::params::{Filters, LabelFilter, ListQuery, PruneFilter};
use images::Removed;
use serde_json::Value;

use super::images::{announce, blocking, shown_usage};
use crate::call::{self, Call};
use crate::error::{ApiError, ApiResult};
use crate::query::{number, point_in_time};

/// `GET /system/df`.
pub(crate) async fn usage(call: Call) -> ApiResult {
    let asked: Vec<&str> = call.query.all("type").collect();
    if let Some(unknown) =
        asked.iter().find(|kind| !["container", "image", "volume", "build-cache"].contains(*kind))
    {
        return Err(ApiError::bad_request(format!("unknown object type: {unknown}")));
    }
    let wanted = |kind: &str| asked.is_empty() || asked.contains(&kind);
    let containers = if wanted("container") {
        Some(call.app.engine.list(ListQuery { all: true, size: true, ..ListQuery::default() }).await?)
    } else {
        None
    };
    let (images, layers_size) = if wanted("image") { shown_usage(&call).await? } else { (Value::Null, 0) };
    // Neither volumes nor a build cache exist in this version, so there are none to list.
    let usage = DiskUsage {
        layers_size: i64::try_from(layers_size).unwrap_or(i64::MAX),
        images: None,
        containers,
        volumes: wanted("volume").then(Vec::new),
        build_cache: wanted("build-cache").then(Vec::new),
    };
    let mut document = serde_json::to_value(usage).unwrap_or_default();
    document["Images"] = images;
    call::json(&document)
}

/// `POST /containers/prune`.
pub(crate) async fn prune_containers(call: Call) -> ApiResult {
    let filter = criteria(&call.query.filters()?, &[])?;
    let (removed, space_reclaimed) = call.app.engine.prune(&filter).await?;
    let containers_deleted = (!removed.is_empty()).then_some(removed);
    call::json(&ContainersPruned { containers_deleted, space_reclaimed })
}

/// `POST /images/prune`.
pub(crate) async fn prune_images(call: &Call) -> ApiResult {
    let filters = call.query.filters()?;
    let filter = criteria(&filters, &["dangling"])?;
    let dangling_only = dangling(&filters)?;
    let pruned = blocking(call, move |images, app| {
        let wanted = |image: &images::Image| {
            let created = image.created().map_or(0, jiff::Timestamp::as_second);
            (!dangling_only || image.is_dangling())
                && filter.matches(image.config.config.labels.as_ref(), created)
        };
        Ok(images.prune(wanted, &|id| app.engine.image_user(id))?)
    })
    .await?;
    let mut deleted = Vec::new();
    for (image, removed) in pruned.images {
        let id = image.id.to_string();
        for removed in removed {
            deleted.push(match removed {
                Removed::Untagged(name) => {
                    announce(&call.app, &image, "untag", &id);
                    DeleteResponse { untagged: Some(name), deleted: None }
                }
                Removed::Deleted(digest) => {
                    if digest == id {
                        announce(&call.app, &image, "delete", &id);
                    }
                    DeleteResponse { untagged: None, deleted: Some(digest) }
                }
            });
        }
    }
    call.app.engine.publish_prune_event("image", pruned.reclaimed);
    call::json(&ImagesPruned {
        images_deleted: (!deleted.is_empty()).then_some(deleted),
        space_reclaimed: pruned.reclaimed,
    })
}

/// `POST /networks/prune`: the networks of this version are the predefined ones, which nothing removes.
pub(crate) async fn prune_networks(call: Call) -> ApiResult {
    criteria(&call.query.filters()?, &[])?;
    call.app.engine.publish_prune_event("network", 0);
    call::json(&NetworksPruned::default())
}

/// `POST /volumes/prune`: this version has no volumes that could be left over.
pub(crate) async fn prune_volumes(call: Call) -> ApiResult {
    let filters = call.query.filters()?;
    if filters.0.contains_key("until") {
        return Err(ApiError::bad_request("invalid filter 'until'"));
    }
    criteria(&filters, &["all"])?;
    for value in filters.0.get("all").into_iter().flatten() {
        if !matches!(
            value.as_str(),
            "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False"
        ) {
            return Err(ApiError::bad_request(format!(
                "invalid filter 'all': strconv.ParseBool: parsing {value:?}: invalid syntax"
            )));
        }
    }
    call.app.engine.publish_prune_event("volume", 0);
    call::json(&VolumesPruned::default())
}

/// `POST /build/prune`: this version builds nothing, so nothing is cached.
pub(crate) async fn prune_build_cache(call: Call) -> ApiResult {
    const KNOWN: [&str; 7] = ["id", "inuse", "parent", "private", "shared", "type", "description"];
    for size in ["keep-storage", "reserved-space", "max-used-space", "min-free-space"] {
        let Some(text) = call.query.non_empty(size) else { continue };
        number(text).map_err(|error| {
            ApiError::bad_request(format!("{size} is in bytes and expects an integer, got {text}: {error}"))
        })?;
    }
    criteria(&call.query.filters()?, &KNOWN).map_err(|error| {
        ApiError::new(error.status(), format!("failed to prune build cache: {}", error.message()))
    })?;
    call.app.engine.publish_prune_event("builder", 0);
    call::json(&BuildCachePruned::default())
}

/// What to remove, from the filters that all kinds have; `more` names those of this kind.
fn criteria(filters: &Filters, more: &[&str]) -> ApiResult<PruneFilter> {
    if let Some(unknown) = filters
        .0
        .keys()
        .find(|name| !["until", "label", "label!"].contains(&name.as_str()) && !more.contains(&name.as_str()))
    {
        return Err(ApiError::bad_request(format!("invalid filter '{unknown}'")));
    }
    let values = |name: &str| filters.0.get(name).map(Vec::as_slice).unwrap_or_default();
    let until = match values("until") {
        [] => None,
        [until] => Some(point_in_time(until).map_err(|_| {
            ApiError::bad_request(format!("failed to parse value as time or duration: {until:?}"))
        })?),
        _ => return Err(ApiError::bad_request("more than one until filter specified")),
    };
    let labels = |name: &str| values(name).iter().map(|text| LabelFilter::parse(text)).collect();
    Ok(PruneFilter { until, with: labels("label"), without: labels("label!") })
}

/// Whether only images without a name are to go, which is the default.
fn dangling(filters: &Filters) -> ApiResult<bool> {
    let values = filters.0.get("dangling").map(Vec::as_slice).unwrap_or_default();
    match values {
        [] => Ok(true),
        [value] if ["1", "true"].contains(&value.as_str()) => Ok(true),
        [value] if ["0", "false"].contains(&value.as_str()) => Ok(false),
        _ => {
            let mut values = values.to_vec();
            values.sort();
            Err(ApiError::bad_request(format!("invalid filter 'dangling=[{}]'", values.join(" "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(list: &[(&str, &[&str])]) -> Filters {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Filters(list.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect())
    }

    #[test]
    fn filters_are_refused_in_dockers_words() {
        for (list, want) in [
            (&[("foo", &["x"][..])][..], "invalid filter 'foo'"),
            (&[("until", &["x"])], "failed to parse value as time or duration: \"x\""),
            (&[("until", &["1h", "2h"])], "more than one until filter specified"),
        ] {
            assert_eq!(criteria(&filters(list), &[]).unwrap_err().message(), want);
        }
        for (values, want) in [
            (&["x"][..], "invalid filter 'dangling=[x]'"),
            (&["true", "false"], "invalid filter 'dangling=[false true]'"),
        ] {
            assert_eq!(dangling(&filters(&[("dangling", values)])).unwrap_err().message(), want);
        }
    }

    #[test]
    fn only_images_without_a_name_are_pruned_unless_asked_otherwise() {
        for (values, want) in [(&[][..], true), (&["true"], true), (&["0"], false), (&["false"], false)] {
            assert_eq!(dangling(&filters(&[("dangling", values)])), Ok(want));
        }
    }
}
