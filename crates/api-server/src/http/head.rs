//! Request heads: request line and headers.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode, Uri, Version};

use super::body::Framing;

/// Largest head: Go's 1 MiB and a little.
pub(crate) const MAX_HEAD: usize = (1 << 20) + 4096;
/// Most headers of one request.
const MAX_HEADERS: usize = 8192;

/// Characters that a request's target has no right to have, escaped here.
const UNESCAPED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A parsed head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// How the body is delimited.
    pub(crate) framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// The client wants the connection to stay open.
    pub(crate) keep_alive: bool,
}

/// Why a head is refused; the connection ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// More than the status's own words.
    pub(crate) reason: &'static str,
}

impl Refused {
    pub(crate) const BAD: Self = Self { status: StatusCode::BAD_REQUEST, reason: "" };
    pub(crate) const TOO_LARGE: Self =
        Self { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason: "" };

    fn bad(reason: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason }
    }
}

/// Parses the head at the start of `bytes`: it and its length, or none when it is not complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refused> {
    let mut room = 64;
    loop {
        let mut headers = vec![httparse::EMPTY_HEADER; room];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err(Refused::TOO_LARGE),
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete(length)) if length > MAX_HEAD => return Err(Refused::TOO_LARGE),
            Ok(httparse::Status::Complete(length)) => return Ok(Some((head(&request)?, length))),
            Err(httparse::Error::TooManyHeaders) if room < MAX_HEADERS => room *= 8,
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::TOO_LARGE),
            Err(httparse::Error::Version) if names_a_version(bytes) => {
                return Err(Refused {
                    status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                    reason: "unsupported protocol version",
                });
            }
            Err(_) => return Err(Refused::BAD),
        }
    }
}

/// Whether the first line ends in a version of HTTP, though in none that is spoken here.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn head(request: &httparse::Request<'_, '_>) -> Result<Head, Refused> {
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes());
    let target = request.path.unwrap_or_default();
    if !target.starts_with('/') && target != "*" && !target.contains("://") {
        return Err(Refused::BAD);
    }
    // Go takes characters that should have been escaped, and people's curl lines have them.
    let target = percent_encoding::utf8_percent_encode(target, UNESCAPED).to_string();
    let uri: Uri = target.parse().map_err(|_| Refused::BAD)?;
    if !escapes_are_valid(uri.path()) {
        return Err(Refused::BAD);
    }
    let mut headers = HeaderMap::with_capacity(request.headers.len().min(64));
    for header in request.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| Refused::BAD)?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| Refused::BAD)?;
        headers.try_append(name, value).map_err(|_| Refused::TOO_LARGE)?;
    }
    if version == Version::HTTP_11 && !headers.contains_key(HOST) {
        return Err(Refused::bad("missing required Host header"));
    }
    let hosts: Vec<_> = headers.get_all(HOST).iter().collect();
    if hosts.len() > 1 {
        return Err(Refused::bad("too many Host headers"));
    }
    if hosts.iter().any(|host| host.as_bytes().iter().any(|byte| byte.is_ascii_whitespace())) {
        return Err(Refused::bad("malformed Host header"));
    }
    let expects =
        headers.get(EXPECT).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects {
        return Err(Refused { status: StatusCode::EXPECTATION_FAILED, reason: "" });
    }
    Ok(Head {
        method: method.map_err(|_| Refused::BAD)?,
        framing: framing(&headers, version)?,
        expects_continue: version == Version::HTTP_11 && has_token(&headers, &EXPECT, "100-continue"),
        keep_alive: match version {
            // Two answers to where the body ends: whoever wrote this may mean the other one.
            _ if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) => false,
            Version::HTTP_10 => has_token(&headers, &CONNECTION, "keep-alive"),
            _ => !has_token(&headers, &CONNECTION, "close"),
        },
        uri,
        version,
        headers,
    })
}

fn framing(headers: &HeaderMap, version: Version) -> Result<Framing, Refused> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if version == Version::HTTP_10 {
            return Err(Refused::bad("unsupported transfer encoding"));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Refused {
                status: StatusCode::NOT_IMPLEMENTED,
                reason: "unsupported transfer encoding",
            });
        }
        return Ok(Framing::chunked());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(Framing::Done) };
    if lengths.any(|other| other != first) {
        return Err(Refused::BAD);
    }
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length: u64 = digits.and_then(|text| text.parse().ok()).ok_or(Refused::BAD)?;
    Ok(if length == 0 { Framing::Done } else { Framing::Length(length) })
}

/// Whether one of the comma-separated words of header `name` is `token`.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn escapes_are_valid(path: &str) -> bool {
    let mut parts = path.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_head_says_how_the_body_ends_and_whether_the_connection_stays() {
        for (text, framing, keep_alive) in [
            ("GET / HTTP/1.1\r\nHost: d\r\n\r\n", Framing::Done, true),
            ("GET / HTTP/1.0\r\n\r\n", Framing::Done, false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Framing::Done, true),
            (
                "POST / HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 7\r\n\r\n",
                Framing::Length(7),
                false,
            ),
            ("POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::chunked(), true),
        ] {
            let head = parsed(text);
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text}");
        }
    }

    #[test]
    fn the_host_may_be_an_escaped_socket_path() {
        assert_eq!(parsed("GET /_ping HTTP/1.1\r\nHost: %2Ftmp%2Fx.sock\r\n\r\n").uri.path(), "/_ping");
    }

    #[test]
    fn a_target_may_have_characters_that_should_be_escaped() {
        let head = parsed("GET /x?filters={\"a\":[\"b\"]}&y=ü HTTP/1.0\r\n\r\n");
        assert_eq!(head.uri.query(), Some("filters=%7B%22a%22:[%22b%22]%7D&y=%C3%BC"));
    }

    #[test]
    fn broken_heads_are_refused_with_go_s_statuses() {
        for (text, status) in [
            ("FOO\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET /%zz HTTP/1.1\r\nHost: d\r\n\r\n", 400),
            ("GET /% HTTP/1.1\r\nHost: d\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("GET / HTTP/2.0\r\nHost: d\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nHost: d\r\nExpect: more\r\n\r\n", 417),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().status.as_u16(), status, "{text}");
        }
    }

    #[test]
    fn more_headers_than_a_map_can_have_are_refused() {
        let many: String = (0..26_000).map(|number| format!("X-{number}: y\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: d\r\n{many}\r\n");
        assert_eq!(parse(head.as_bytes()).unwrap_err(), Refused::TOO_LARGE);
    }

    #[test]
    fn half_a_megabyte_of_headers_passes_and_three_do_not() {
        let with = |count: usize| format!("GET / HTTP/1.1\r\nHost: d\r\nX: {}\r\n\r\n", "a".repeat(count));
        assert!(parse(with(500_000).as_bytes()).is_ok_and(|head| head.is_some()));
        assert_eq!(parse(with(3_000_000).as_bytes()).unwrap_err(), Refused::TOO_LARGE);
        let many: String = (0..3000).map(|n| format!("X-{n}: y\r\n")).collect();
        assert!(parse(format!("GET / HTTP/1.1\r\nHost: d\r\n{many}\r\n").as_bytes()).is_ok());
    }
}
