//! Refusals: status and words are Docker's.

use testkit::Host;

use crate::client::{Connection, ask};

#[test]
fn requests_that_cannot_be_right_are_refused_in_docker_s_words() {
    let host = Host::new();
    let socket = host.socket();
    for (method, target, status, message) in [
        ("GET", "/nosuch", 404, "page not found"),
        ("POST", "/containers/json", 404, "page not found"),
        ("PUT", "/v1.51/_ping", 404, "page not found"),
        ("GET", "/v1.51", 404, "page not found"),
        ("GET", "/v1.99/info", 400, "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("GET", "/containers/nosuch/json", 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/start", 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/stop?t=x", 500, "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("POST", "/containers/nosuch/wait?condition=x", 400, "invalid condition: \"x\""),
        ("POST", "/containers/nosuch/resize?h=x&w=1", 400, "invalid resize height \"x\": invalid syntax"),
        ("GET", "/containers/nosuch/logs", 400, "Bad parameters: you must choose at least one stream"),
        (
            "GET",
            "/containers/nosuch/logs?stdout=1&since=y",
            500,
            "strconv.ParseInt: parsing \"y\": invalid syntax",
        ),
        ("GET", "/containers/json?limit=x", 500, "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("GET", "/containers/json?filters=x", 400, "invalid filter"),
        ("GET", "/containers/json?filters={\"a\":[\"b\"]}", 400, "invalid filter 'a'"),
        ("GET", "/containers/json?x=%zz", 400, "invalid URL escape \"%zz\""),
        ("GET", "/images/nosuch/json", 404, "No such image: nosuch:latest"),
        ("GET", "/images/a/b/c/json", 404, "No such image: a/b/c:latest"),
        ("GET", "/images/a%2Fb/json", 404, "No such image: a/b:latest"),
        ("DELETE", "/images/nosuch", 404, "No such image: nosuch:latest"),
        ("GET", "/images/json?filters={\"a\":[\"b\"]}", 400, "invalid filter 'a'"),
        (
            "POST",
            "/images/create?fromImage=BAD:x",
            400,
            "invalid reference format: repository name (library/BAD) must be lowercase",
        ),
        ("GET", "/exec/nosuch/json", 404, "No such exec instance: nosuch"),
        ("POST", "/exec/nosuch/start", 404, "No such exec instance: nosuch"),
        ("GET", "/events?since=x", 500, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("GET", "/events?since=2&until=1", 400, "`since` time (2) cannot be after `until` time (1)"),
        ("POST", "/containers/create", 400, "invalid JSON: got EOF while reading request body"),
        (
            "GET",
            "/swarm",
            503,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
             to swarm and try again.",
        ),
    ] {
        let (got, text) = ask(&socket, method, target, None);
        let body = serde_json::json!({ "message": message }).to_string() + "\n";
        assert_eq!((got, text), (status, body), "{method} {target}");
    }
}

#[test]
fn what_is_not_there_yet_says_so() {
    let host = Host::new();
    for (method, target) in
        [("GET", "/networks"), ("GET", "/volumes"), ("POST", "/build"), ("POST", "/session")]
    {
        let (status, text) = ask(&host.socket(), method, target, None);
        assert!(status == 501 && text.contains("is not implemented by this version of Corten"), "{text}");
    }
}

#[test]
fn a_pull_names_the_image_and_the_ways_to_get_one() {
    let host = Host::new();
    let (status, text) = ask(&host.socket(), "POST", "/images/create?fromImage=web&tag=2", None);
    assert_eq!(status, 501);
    assert!(text.contains("web:2 is not on this machine; bring it with load or import"), "{text}");
}

#[test]
fn paths_are_cleaned_by_redirection_and_options_are_answered() {
    let host = Host::new();
    for (path, location) in [("//_ping", "/_ping"), ("/./_ping", "/_ping"), ("/a/%2e%2e/info", "/info")] {
        let mut connection = Connection::open(&host.socket());
        connection.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let answer = String::from_utf8(connection.rest()).unwrap();
        assert!(answer.starts_with("HTTP/1.0 301 Moved Permanently\r\n"), "{answer}");
        assert!(answer.contains(&format!("\r\nLocation: {location}\r\n")), "{answer}");
    }
    let mut connection = Connection::open(&host.socket());
    connection.send("OPTIONS /containers/json HTTP/1.0\r\n\r\n");
    assert!(String::from_utf8(connection.rest()).unwrap().starts_with("HTTP/1.0 200 OK\r\n"));
}

#[test]
fn ping_has_the_headers_that_clients_negotiate_by() {
    let host = Host::new();
    for (method, length) in [("GET", 2), ("HEAD", 0)] {
        let mut connection = Connection::open(&host.socket());
        connection.send(format!("{method} /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"));
        let answer = String::from_utf8(connection.rest()).unwrap();
        for header in [
            "Api-Version: 1.51",
            "Builder-Version: 2",
            "Cache-Control: no-cache, no-store, must-revalidate",
            "Docker-Experimental: false",
            "Ostype: linux",
            "Pragma: no-cache",
            "Swarm: inactive",
            "Content-Type: text/plain; charset=utf-8",
            &format!("Content-Length: {length}"),
        ] {
            assert!(answer.contains(&format!("\r\n{header}\r\n")), "{header} in {answer}");
        }
        assert!(answer.contains("\r\nServer: Docker/"), "{answer}");
    }
}
