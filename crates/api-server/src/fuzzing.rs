//! What strangers can send, as functions of bytes: for the fuzz targets in `fuzz/` and for the tests that run them.
//!
//! None of them may panic, hang or use more memory than a small multiple of what it is given.

use crate::http::head;
use crate::json::{self, requests};
use crate::pattern;
use crate::query::{self, Params};

/// A JSON body, read as each request that has one.
pub fn request_body(bytes: &[u8]) {
    for schema in [&requests::CREATE, &requests::UPDATE, &requests::EXEC_CREATE, &requests::EXEC_START] {
        let _ = json::parse::<serde_json::Value>(bytes, schema);
    }
    let _ = json::parse::<api_types::container::CreateRequest>(bytes, &requests::CREATE);
    let _ = json::parse::<api_types::container::UpdateRequest>(bytes, &requests::UPDATE);
    let _ = json::parse::<api_types::exec::ExecCreateRequest>(bytes, &requests::EXEC_CREATE);
}

/// The head of a request.
pub fn request_head(bytes: &[u8]) {
    if let Ok(Some((head, length))) = head::parse(bytes) {
        assert!(length <= bytes.len(), "a head is longer than what was read");
        let _ = crate::version::split(head.uri.path());
    }
}

/// A query, with everything that is read from one.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = query::point_in_time(&text);
    if let Some((pattern, text)) = text.split_once('\n') {
        let _ = pattern::matches(pattern, text);
        let _ = pattern::is_well_formed(pattern);
    }
    let whole = [format!("filters={text}"), text.clone().into_owned()];
    for params in whole.iter().filter_map(|query| Params::parse(query).ok()) {
        let _ = (params.filters(), params.number("t"), params.timestamp("since"), params.flag("all"));
    }
}
