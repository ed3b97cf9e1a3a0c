//! `/images`. Names have slashes, so the routes below `/images/` are split here and not by the router.

mod create;
mod inspect;
mod list;
mod load;
mod save;

use std::collections::BTreeMap;

use api_types::image::{DeleteResponse, HistoryItem};
use axum::body::Body;
use engine::error::chain;
use http::StatusCode;
use images::{Image, Images, RemoveError, Removed, ResolveError, TagError};
use oci::reference::{Reference, ReferenceError};

pub(crate) use create::create;
pub(crate) use list::list;
pub(super) use list::shown_usage;
pub(crate) use load::load;

use crate::app::App;
use crate::call::{self, Call};
use crate::error::{ApiError, ApiResult};
use crate::routes::{not_implemented, page_not_found};

/// The router's pattern for what is told apart here.
pub(crate) const BELOW: &str = "/images/{*rest}";
/// What [`get`] answers.
pub(crate) const GETS: &[&str] =
    &["/images/{name}/json", "/images/{name}/history", "/images/{name}/get", "/images/get", "/images/search"];
/// What [`post`] answers.
pub(crate) const POSTS: &[&str] = &["/images/{name}/tag", "/images/{name}/push", "/images/prune"];

/// `GET /images/…`.
pub(crate) async fn get(call: Call) -> ApiResult {
    match call.path("rest").rsplit_once('/') {
        Some((name, "json")) => inspect::inspect(&call, name).await,
        Some((name, "history")) => history(&call, name).await,
        Some((name, "get")) => save::save(&call, vec![name.to_owned()]).await,
        _ if call.path("rest") == "get" => {
            save::save(&call, call.query.all("names").map(str::to_owned).collect()).await
        }
        _ if call.path("rest") == "search" => Err(not_implemented("GET /images/search")),
        _ => Ok(page_not_found().await),
    }
}

/// `POST /images/…`.
pub(crate) async fn post(call: Call, _body: Body) -> ApiResult {
    match call.path("rest").rsplit_once('/') {
        Some((name, "tag")) => tag(&call, name).await,
        Some((_, "push")) => Err(not_implemented("POST /images/{name}/push")),
        _ if call.path("rest") == "prune" => super::space::prune_images(&call).await,
        _ => Ok(page_not_found().await),
    }
}

/// `POST /images/{name}/tag`.
async fn tag(call: &Call, name: &str) -> ApiResult {
    // Without a name to give, Docker does nothing and is content.
    let Some(reference) = repository_and_tag(call)? else { return call::empty(StatusCode::OK) };
    let name = name.to_owned();
    let given = reference.clone();
    let image = blocking(call, move |images, _| Ok(images.tag(&name, &given)?)).await?;
    announce(&call.app, &image, "tag", &reference.with_default_tag().familiar());
    call::empty(StatusCode::CREATED)
}

/// `DELETE /images/{name}`.
pub(crate) async fn remove(call: Call) -> ApiResult {
    if let Some(wanted) = call.query.all("platforms").find(|wanted| !wanted.is_empty()) {
        inspect::platform(wanted)?;

        return Err(ApiError::bad_request(
            "an image here is of one platform: remove it by its name or id, without platforms",
        ));
    }
    let (name, force, prune) =
        (call.path("rest").to_owned(), call.query.flag("force"), !call.query.flag("noprune"));
    let (image, removed) = blocking(&call, move |images, app| {
        let image = images.resolve(&name)?;
        let used_by = |id: &images::ImageId| app.engine.image_user(id);
        Ok((image, images.remove(&name, force, prune, &used_by)?))
    })
    .await?;
    let removed: Vec<_> = removed
        .into_iter()
        .map(|removed| match removed {
            Removed::Untagged(name) => {
                announce(&call.app, &image, "untag", &image.id.to_string());
                DeleteResponse { untagged: Some(name), deleted: None }
            }
            Removed::Deleted(digest) => {
                if digest == image.id.to_string() {
                    announce(&call.app, &image, "delete", &digest);
                }
                DeleteResponse { untagged: None, deleted: Some(digest) }
            }
        })
        .collect();
    call::json(&removed)
}

/// `GET /images/{name}/history`.
async fn history(call: &Call, name: &str) -> ApiResult {
    let wanted = call.query.non_empty("platform").map(inspect::platform).transpose()?;
    let name = name.to_owned();
    let steps = blocking(call, move |images, _| {
        let image = images.resolve(&name)?;
        inspect::check_platform(&image, &name, wanted.as_ref())?;
        Ok(images.history(&image))
    })
    .await?;
    let items: Vec<_> = steps
        .into_iter()
        .map(|step| HistoryItem {
            id: step.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
            created: step.created.map_or(0, jiff::Timestamp::as_second),
            created_by: step.created_by,
            tags: Some(step.tags).filter(|tags| !tags.is_empty()),
            size: step.size.try_into().unwrap_or(i64::MAX),
            comment: step.comment,
        })
        .collect();
    call::json(&items)
}

/// `repo` and `tag` of a query as a name; none without `repo`.
pub(super) fn repository_and_tag(call: &Call) -> ApiResult<Option<Reference>> {
    let Some(repository) = call.query.non_empty("repo") else { return Ok(None) };
    let reference: Reference = repository.parse().map_err(invalid_reference)?;
    match call.query.non_empty("tag") {
        Some(tag) => {
            let tagged = reference.with_tag(tag);
            Ok(Some(tagged.map_err(|_| ApiError::bad_request("invalid tag format"))?))
        }
        None if reference.digest().is_some() => Err(ApiError::bad_request("cannot import digest reference")),
        None => Ok(Some(reference)),
    }
}

fn invalid_reference(error: ReferenceError) -> ApiError {
    ApiError::bad_request(error.to_string())
}

/// Runs something on the image store where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    call: &Call,
    run: impl FnOnce(&Images, &App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = call.app.clone();
    let done = tokio::task::spawn_blocking(move || run(app.engine.images(), &app)).await;
    done.map_err(|error| ApiError::internal(format!("the image store failed: {error}")))?
}

/// Publishes what happened to an image, with its labels as Docker does.
pub(super) fn announce(app: &App, image: &Image, action: &str, name: &str) {
    let mut attributes = match action {
        // Docker has no labels any more of what is gone.
        "delete" => BTreeMap::new(),
        _ => image.config.config.labels.clone().unwrap_or_default(),
    };
    attributes.insert("name".to_owned(), name.to_owned());
    app.engine.publish_image_event(action, &image.id.to_string(), attributes);
}

impl From<ResolveError> for ApiError {
    fn from(error: ResolveError) -> Self {
        let status = match error {
            ResolveError::NotFound { .. } => StatusCode::NOT_FOUND,
            ResolveError::Ambiguous { .. } | ResolveError::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<TagError> for ApiError {
    fn from(error: TagError) -> Self {
        match error {
            // Docker finds no image by a name that is none.
            TagError::Source(error @ ResolveError::Invalid(_)) => {
                Self::new(StatusCode::NOT_FOUND, error.to_string())
            }
            TagError::Source(error) => error.into(),
            TagError::Refused(reason) => Self::bad_request(reason),
            TagError::Store(error) => Self::internal(chain(&error)),
        }
    }
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::NotFound(error) => error.into(),
            RemoveError::Conflict(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            RemoveError::Store(error) => Self::internal(chain(&error)),
        }
    }
}
