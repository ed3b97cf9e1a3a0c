//! JSON request bodies, read as Go reads them and refused in Go's words.
//!
//! Field names match in any case, `null` is the same as absent, a number is not taken for a string. The known names
//! and types are tables in [`schema`] and [`requests`]; a body is checked and normalised against its table and then
//! read into its type of `api-types`.

pub(crate) mod requests;
pub(crate) mod schema;

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::schema::{Schema, Struct};
use crate::error::ApiError;

/// Largest JSON body. Docker has no bound; the largest sensible body is a container with some thousand mounts.
const MAX_BODY: usize = 8 << 20;
/// Deepest nesting, Docker's.
const MAX_DEPTH: usize = 10_000;

/// Reads a body that must be there.
pub(crate) async fn required<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    schema: &'static Struct,
) -> Result<T, ApiError> {
    match optional(headers, body, schema).await? {
        Some(value) => Ok(value),
        None => Err(ApiError::bad_request("invalid JSON: got EOF while reading request body")),
    }
}

/// Reads a body that may be empty.
pub(crate) async fn optional<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    schema: &'static Struct,
) -> Result<Option<T>, ApiError> {
    check_content_type(headers, http_body::Body::size_hint(&body).exact() != Some(0))?;
    let bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(ApiError::bad_request(format!(
                "invalid JSON: request body is larger than {MAX_BODY} bytes"
            )));
        }
        Err(error) => return Err(ApiError::bad_request(format!("error reading request body: {error}"))),
    };
    if bytes.trim_ascii().is_empty() { Ok(None) } else { parse(&bytes, schema).map(Some) }
}

fn check_content_type(headers: &HeaderMap, has_body: bool) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or_default());
    if given.is_empty() && !has_body {
        return Ok(());
    }
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.is_empty() {
        return Err(ApiError::bad_request(format!(
            "malformed Content-Type header ({given}): mime: no media type"
        )));
    }
    let named = |parameter: &str| parameter.split_once('=').is_some_and(|(name, _)| !name.trim().is_empty());
    let mut parameters = given.split(';').skip(1).map(str::trim);
    if !parameters.all(|parameter| parameter.is_empty() || named(parameter)) {
        return Err(ApiError::bad_request(format!(
            "malformed Content-Type header ({given}): mime: invalid media parameter"
        )));
    }
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::bad_request(format!(
            "unsupported Content-Type header ({given}): must be 'application/json'"
        )));
    }
    Ok(())
}

/// Reads one document.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], schema: &'static Struct) -> Result<T, ApiError> {
    let invalid = |reason: &dyn std::fmt::Display| ApiError::bad_request(format!("invalid JSON: {reason}"));
    if depth(bytes) > MAX_DEPTH {
        return Err(invalid(&"exceeded max depth"));
    }
    // Bytes that are no text become replacement characters, as in Go.
    let text = String::from_utf8_lossy(bytes);
    let bytes = text.as_bytes();
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let mut value = match documents.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(invalid(&syntax_error(&error, bytes))),
        None => Value::Null,
    };
    if !bytes[documents.byte_offset()..].trim_ascii().is_empty() {
        return Err(ApiError::bad_request("unexpected content after JSON"));
    }
    if value.is_null() {
        value = Value::Object(serde_json::Map::new());
    }
    schema::normalise(&mut value, &Schema::Struct(schema)).map_err(|error| invalid(&error))?;
    // The tables cover every type, so what still fails is one of their gaps; serde's words are better than none.
    serde_json::from_value(value).map_err(|error| invalid(&error))
}

/// What is wrong with a document that is not JSON.
pub(crate) fn syntax_error(error: &serde_json::Error, bytes: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected EOF".to_owned();
    }
    if error.to_string().starts_with("recursion limit") {
        return "exceeded max depth".to_owned();
    }
    let line = bytes.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let character = line.get(error.column().saturating_sub(1)).map_or(' ', |&byte| char::from(byte));
    let quoted = match character {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        other => format!("{other:?}"),
    };
    let text = error.to_string();
    let place = if text.starts_with("expected `:`") {
        "after object key"
    } else if text.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.starts_with("expected `,` or `]`") {
        "after array element"
    } else if text.starts_with("key must be a string") || text.starts_with("trailing comma") {
        "looking for beginning of object key string"
    } else if text.starts_with("expected ident") {
        "in literal"
    } else if text.starts_with("expected value") {
        "looking for beginning of value"
    } else {
        return text;
    };
    format!("invalid character {quoted} {place}")
}

/// The deepest nesting of a document, without recursing.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
