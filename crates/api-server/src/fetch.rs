//! Fetches an archive over plain HTTP, for `docker import http://…`. Blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use http::{StatusCode, Uri};

/// How long connecting may take, and each read.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most redirections that are followed.
const MAX_REDIRECTS: usize = 10;
/// Longest head of an answer.
const MAX_HEAD: u64 = 64 * 1024;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("Get {0:?}: not a URL")]
    NotAUrl(String),
    #[error(
        "Get {url:?}: unsupported protocol scheme {scheme:?}: only http is supported by this version of Corten"
    )]
    Scheme { url: String, scheme: String },
    #[error("Get {url:?}: cannot find {host}: it is neither an IP address nor in /etc/hosts")]
    UnknownHost { url: String, host: String },
    #[error("Get {url:?}: {source}")]
    Io { url: String, source: io::Error },
    #[error("Get {url:?}: malformed answer")]
    Malformed { url: String },
    #[error("Get {url:?}: stopped after {MAX_REDIRECTS} redirects")]
    Redirects { url: String },
    #[error("failed to GET {url} with status {status}")]
    Status { url: String, status: StatusCode },
}

/// A body that is being received.
#[derive(Debug)]
pub(crate) struct Fetched {
    stream: BufReader<TcpStream>,
    /// Bytes still to come; none: until the server closes.
    left: Option<u64>,
}

impl Read for Fetched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return self.stream.read(buffer) };
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.stream.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = Some(left - count as u64);
        Ok(count)
    }
}

/// Fetches `url`, following redirections.
pub(crate) fn get(url: &str) -> Result<Fetched, FetchError> {
    let mut url = url.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        match ask(&url)? {
            Answer::Body(body) => return Ok(body),
            Answer::Elsewhere(location) => url = location,
        }
    }
    Err(FetchError::Redirects { url })
}

enum Answer {
    Body(Fetched),
    Elsewhere(String),
}

fn ask(url: &str) -> Result<Answer, FetchError> {
    let failed = |source| FetchError::Io { url: url.to_owned(), source };
    // As curl does, and Docker.
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|_| FetchError::NotAUrl(url.to_owned()))?;
    if uri.scheme_str() != Some("http") {
        let scheme = uri.scheme_str().unwrap_or_default().to_owned();
        return Err(FetchError::Scheme { url: url.to_owned(), scheme });
    }
    let authority = uri.authority().ok_or_else(|| FetchError::NotAUrl(url.to_owned()))?;
    let host = authority.host().trim_matches(['[', ']']);
    let address = look_up(host)
        .ok_or_else(|| FetchError::UnknownHost { url: url.to_owned(), host: host.to_owned() })?;
    let address = SocketAddr::new(address, authority.port_u16().unwrap_or(80));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // 1.0, so that the body is not in chunks.
    let request =
        format!("GET {target} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: corten\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut stream = BufReader::new(stream);
    let head = read_head(&mut stream).map_err(failed)?;
    understand(url, &uri, &head, stream)
}

fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut limited = stream.take(MAX_HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        if limited.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn understand(url: &str, uri: &Uri, head: &[u8], stream: BufReader<TcpStream>) -> Result<Answer, FetchError> {
    let malformed = || FetchError::Malformed { url: url.to_owned() };
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(|_| malformed())?;
    let status = StatusCode::from_u16(response.code.unwrap_or_default()).map_err(|_| malformed())?;
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    if status.is_redirection()
        && let Some(location) = header("location")
    {
        return Ok(Answer::Elsewhere(match location.strip_prefix('/') {
            Some(path) => {
                format!("http://{}/{path}", uri.authority().map_or("", |authority| authority.as_str()))
            }
            None => location.to_owned(),
        }));
    }
    if !status.is_success() {
        return Err(FetchError::Status { url: url.to_owned(), status });
    }
    if header("transfer-encoding").is_some() {
        return Err(malformed());
    }
    let left = header("content-length").map(str::parse).transpose().map_err(|_| malformed())?;
    Ok(Answer::Body(Fetched { stream, left }))
}

/// An address without asking a server: names are not looked up through libc, which is static here.
fn look_up(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let found = hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    });
    found.or_else(|| (host == "localhost").then_some(IpAddr::from([127, 0, 0, 1])))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers each connection with the next of `answers`.
    fn server(answers: Vec<String>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap());
                read_head(&mut head).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    fn fetch(address: SocketAddr) -> Result<String, String> {
        let mut text = String::new();
        let mut body = get(&format!("http://{address}/x")).map_err(|error| error.to_string())?;
        body.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn bodies_end_by_length_or_by_the_end_and_redirections_are_followed() {
        let answers =
            ["HTTP/1.0 302 Found\r\nLocation: /y\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"];
        assert_eq!(fetch(server(answers.map(str::to_owned).to_vec())), Ok("ab".to_owned()));
        assert_eq!(fetch(server(vec!["HTTP/1.0 200 OK\r\n\r\nabc".to_owned()])), Ok("abc".to_owned()));
    }

    #[test]
    fn a_cut_body_and_a_bad_status_are_errors() {
        assert!(fetch(server(vec!["HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_owned()])).is_err());
        let missing = fetch(server(vec!["HTTP/1.0 404 Not Found\r\n\r\n".to_owned()])).unwrap_err();
        assert!(missing.ends_with("with status 404 Not Found"), "{missing}");
        assert!(matches!(get("https://127.0.0.1/x"), Err(FetchError::Scheme { .. })));
        assert!(matches!(get("http://no.such.host.invalid/"), Err(FetchError::UnknownHost { .. })));
    }
}
