//! Which path is whose.
//!
//! A path that is not here is `page not found`, and so is one asked with another method: Docker never says 405.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, any, head, on};
use futures_util::future::BoxFuture;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, LOCATION, SERVER};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower::Service;

use crate::app::App;
use crate::call::{Call, with_type};
use crate::error::{ApiError, ApiResult};
use crate::handlers::{absent, attach, containers, exec, files, images, space, streams, system};
use crate::http::hijack::Bare;
use crate::version::{self, ApiVersion, VersionError};

/// What is escaped in a `Location`.
const PATH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@');

/// Marks a response that does not get the headers every answer has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoCommonHeaders;

/// The API as a service: version prefix, routes, common headers.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    router: Router,
}

impl Api {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let router = table()
            .into_router()
            .fallback(page_not_found)
            .method_not_allowed_fallback(page_not_found)
            .with_state(app);
        Self { router }
    }
}

/// Every endpoint: its method and its path, whose parameters are in braces.
pub fn endpoints() -> Vec<(Method, &'static str)> {
    table().known
}

/// Routes, and what they are.
#[derive(Debug, Default)]
struct Routes {
    router: Router<Arc<App>>,
    known: Vec<(Method, &'static str)>,
    /// The router's patterns that have a method.
    patterns: Vec<(Method, String)>,
}

impl Routes {
    fn at<H: Handler<T, Arc<App>>, T: 'static>(
        mut self,
        method: Method,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.known.push((method.clone(), path));
        self.behind(method, path, handler)
    }

    fn get<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.at(Method::GET, path, handler)
    }

    fn head<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.at(Method::HEAD, path, handler)
    }

    fn post<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.at(Method::POST, path, handler)
    }

    fn put<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.at(Method::PUT, path, handler)
    }

    fn delete<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.at(Method::DELETE, path, handler)
    }

    /// A handler that tells `paths` apart itself, because what they name has slashes.
    fn split<H: Handler<T, Arc<App>>, T: 'static>(
        mut self,
        method: Method,
        pattern: &str,
        paths: &[&'static str],
        handler: H,
    ) -> Self {
        self.known.extend(paths.iter().map(|path| (method.clone(), *path)));
        self.behind(method, pattern, handler)
    }

    fn behind<H: Handler<T, Arc<App>>, T: 'static>(
        mut self,
        method: Method,
        pattern: &str,
        handler: H,
    ) -> Self {
        if let Ok(filter) = MethodFilter::try_from(method.clone()) {
            self.router = self.router.route(pattern, on(filter, handler));
            self.patterns.push((method, pattern.to_owned()));
        }
        self
    }

    fn into_router(self) -> Router<Arc<App>> {
        // axum lets GET routes answer HEAD; Docker has HEAD only where it says so.
        let has = |method: Method, pattern: &String| self.patterns.contains(&(method, pattern.clone()));
        let headless = self
            .patterns
            .iter()
            .filter(|(method, pattern)| method == Method::GET && !has(Method::HEAD, pattern));
        headless.fold(self.router.clone(), |router, (_, pattern)| router.route(pattern, head(page_not_found)))
    }
}

fn table() -> Routes {
    let routes = image_routes(exec_routes(container_routes(system_routes(Routes::default()))));
    absent_routes(routes).get("/networks/{name}", absent::network).get("/volumes/{name}", absent::volume)
}

fn system_routes(routes: Routes) -> Routes {
    routes
        .get("/_ping", system::ping)
        .head("/_ping", system::ping)
        .get("/version", system::version)
        .get("/info", system::info)
        .get("/system/df", space::usage)
        .post("/networks/prune", space::prune_networks)
        .post("/volumes/prune", space::prune_volumes)
        .post("/build/prune", space::prune_build_cache)
        .get("/events", streams::events)
}

fn container_routes(routes: Routes) -> Routes {
    routes
        .get("/containers/json", containers::list)
        .post("/containers/prune", space::prune_containers)
        .post("/containers/create", containers::create)
        .delete("/containers/{name}", containers::remove)
        .get("/containers/{name}/json", containers::inspect)
        .get("/containers/{name}/top", containers::top)
        .get("/containers/{name}/logs", streams::logs)
        .get("/containers/{name}/stats", streams::stats)
        .post("/containers/{name}/start", containers::start)
        .post("/containers/{name}/stop", containers::stop)
        .post("/containers/{name}/restart", containers::restart)
        .post("/containers/{name}/kill", containers::kill)
        .post("/containers/{name}/pause", containers::pause)
        .post("/containers/{name}/unpause", containers::unpause)
        .post("/containers/{name}/rename", containers::rename)
        .post("/containers/{name}/update", containers::update)
        .post("/containers/{name}/resize", containers::resize)
        .post("/containers/{name}/wait", streams::wait)
        .post("/containers/{name}/attach", attach::attach)
        .post("/containers/{name}/exec", exec::create)
        .get("/containers/{name}/changes", files::changes)
        .post("/commit", files::commit)
        .get("/containers/{name}/export", files::export)
        .get("/containers/{name}/archive", files::archive)
        .head("/containers/{name}/archive", files::archive)
        .put("/containers/{name}/archive", files::archive)
}

fn exec_routes(routes: Routes) -> Routes {
    routes
        .get("/exec/{name}/json", exec::inspect)
        .post("/exec/{name}/start", exec::start)
        .post("/exec/{name}/resize", exec::resize)
}

fn image_routes(routes: Routes) -> Routes {
    routes
        .get("/images/json", images::list)
        .post("/images/create", images::create)
        .post("/images/load", images::load)
        .split(Method::GET, images::BELOW, images::GETS, images::get)
        .split(Method::POST, images::BELOW, images::POSTS, images::post)
        .split(Method::DELETE, images::BELOW, &["/images/{name}"], images::remove)
}

/// Docker's endpoints that we do not have yet.
const NOT_IMPLEMENTED: &[(Method, &str)] = &[
    (Method::GET, "/containers/{name}/attach/ws"),
    (Method::POST, "/build"),
    (Method::POST, "/build/cancel"),
    (Method::POST, "/session"),
    (Method::POST, "/grpc"),
    (Method::POST, "/auth"),
    (Method::GET, "/distribution/{*rest}"),
    (Method::GET, "/networks"),
    (Method::POST, "/networks/create"),
    (Method::DELETE, "/networks/{name}"),
    (Method::POST, "/networks/{name}/connect"),
    (Method::POST, "/networks/{name}/disconnect"),
    (Method::GET, "/volumes"),
    (Method::POST, "/volumes/create"),
    (Method::DELETE, "/volumes/{name}"),
    (Method::GET, "/plugins"),
    (Method::POST, "/swarm/init"),
    (Method::POST, "/swarm/join"),
];

/// The answer of an endpoint that is not here yet.
pub(crate) fn not_implemented(endpoint: &str) -> ApiError {
    let version = env!("CARGO_PKG_VERSION");
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        format!("{endpoint} is not implemented by this version of Corten ({version})"),
    )
}

/// Docker's swarm endpoints, all of which answer the same on a node that is not in one.
const SWARM: &[&str] = &[
    "/swarm",
    "/swarm/leave",
    "/swarm/unlock",
    "/swarm/unlockkey",
    "/swarm/update",
    "/nodes",
    "/nodes/{name}",
    "/nodes/{name}/update",
    "/services",
    "/services/create",
    "/services/{name}",
    "/services/{name}/update",
    "/services/{name}/logs",
    "/tasks",
    "/tasks/{name}",
    "/tasks/{name}/logs",
    "/secrets",
    "/secrets/create",
    "/secrets/{name}",
    "/secrets/{name}/update",
    "/configs",
    "/configs/create",
    "/configs/{name}",
    "/configs/{name}/update",
];

fn absent_routes(mut routes: Routes) -> Routes {
    for path in SWARM {
        routes.router = routes.router.route(path, any(not_a_swarm_manager));
    }
    NOT_IMPLEMENTED.iter().fold(routes, |routes, (method, path)| {
        let endpoint = format!("{method} {}", path.replace("*rest", "name"));
        let answer = move |_: Call| std::future::ready(Err::<Response<Body>, _>(not_implemented(&endpoint)));
        routes.at(method.clone(), path, answer)
    })
}

pub(crate) async fn page_not_found() -> Response<Body> {
    let mut response = ApiError::new(StatusCode::NOT_FOUND, "page not found").into_response();
    response.extensions_mut().insert(NoCommonHeaders);
    response
}

async fn not_a_swarm_manager(_: Call) -> ApiResult {
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to \
         swarm and try again.",
    ))
}

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if let Some(clean) = unclean(&path) {
            return Box::pin(std::future::ready(Ok(moved(&clean, request.uri().query()))));
        }
        if method == Method::OPTIONS {
            let mut response = Response::new(Body::empty());
            add_common_headers(&mut response, true);
            return Box::pin(std::future::ready(Ok(response)));
        }
        match strip_version(&mut request) {
            Ok(version) => {
                request.extensions_mut().insert(version);
            }
            Err(error) => return Box::pin(std::future::ready(Ok(refuse_version(&error)))),
        }
        let answer = self.router.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            response.headers_mut().remove(ALLOW);
            tracing::debug!(%method, path, status = response.status().as_u16(), "request answered");
            if response.extensions().get::<NoCommonHeaders>().is_none() {
                add_common_headers(&mut response, true);
            }
            Ok(response)
        })
    }
}

/// The path without empty, `.` and `..` segments, if it has any: Docker's router sends clients there.
fn unclean(path: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let has = |segment: &str| decoded.split('/').skip(1).any(|part| part == segment);
    if !decoded.contains("//") && !has(".") && !has("..") {
        return None;
    }
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let end = if decoded.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", segments.join("/")))
}

fn moved(path: &str, query: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let path = percent_encoding::utf8_percent_encode(path, PATH);
    let location = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_string(),
    };
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn strip_version(request: &mut Request<Body>) -> Result<ApiVersion, VersionError> {
    let uri = request.uri();
    let (version, rest) = version::split(uri.path())?;
    if rest.len() != uri.path().len() {
        let target = match uri.query() {
            Some(query) => format!("{rest}?{query}"),
            None => rest.to_owned(),
        };
        // A suffix of a valid target is one.
        if let Ok(target) = PathAndQuery::try_from(target) {
            *request.uri_mut() = target.into();
        }
    }
    Ok(version)
}

fn refuse_version(error: &VersionError) -> Response<Body> {
    let mut response = match error {
        VersionError::TooNew(_) => ApiError::new(error.status(), error.to_string()).into_response(),
        // Docker answers versions of before 1.24 in the form that they knew.
        VersionError::TooOld(_) => {
            let mut response = with_type("text/plain; charset=utf-8", Body::from(format!("{error}\n")));
            let nosniff = HeaderName::from_static("x-content-type-options");
            response.headers_mut().insert(nosniff, HeaderValue::from_static("nosniff"));
            *response.status_mut() = error.status();
            response
        }
    };
    add_common_headers(&mut response, false);
    response
}

fn add_common_headers(response: &mut Response<Body>, experimental: bool) {
    let headers = response.headers_mut();
    headers
        .insert(HeaderName::from_static("api-version"), HeaderValue::from_static(api_types::MAX_API_VERSION));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    headers.insert(SERVER, HeaderValue::from_static(crate::SERVER));
    if experimental {
        headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    }
}

/// A response as text, as it is written on the connection of an attach that failed.
pub(crate) fn bare_text(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.extensions_mut().insert(Bare);
    response.extensions_mut().insert(NoCommonHeaders);
    response
}
