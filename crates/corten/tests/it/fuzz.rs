//! The fuzz targets with random input: samples that are right, and what becomes of them by a few changes. The same
//! input every time; `FUZZ_SEED` chooses another.

#[allow(dead_code, reason = "the fuzz crate includes the file too")]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Inputs per target.
const ROUNDS: usize = 3000;
/// Far longer than any input of this size takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(10);
/// How deep the nesting goes, and how long the repetitions are, that are tried of every piece of a sample.
const MANY: usize = 20_000;

/// xorshift64*: enough for choosing.
struct Choice(u64);

impl Choice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(value).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// Runs `target` on the samples, on changed samples, and on very many of each piece.
#[track_caller]
fn fuzz(target: fn(&[u8]), samples: &[&[u8]], pieces: &[&str]) {
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed);
    let mut choice = Choice(seed);
    for sample in samples {
        run(target, sample);
    }
    for piece in pieces {
        let (open, close) = piece.split_once('…').unwrap_or((piece, ""));
        run(target, open.repeat(MANY).as_bytes());
        run(target, (open.repeat(MANY) + &close.repeat(MANY)).as_bytes());
    }
    for _ in 0..ROUNDS {
        let mut input = samples[choice.below(samples.len())].to_vec();
        for _ in 0..=choice.below(6) {
            change(&mut input, samples, &mut choice);
        }
        run(target, &input);
    }
}

fn change(input: &mut Vec<u8>, samples: &[&[u8]], choice: &mut Choice) {
    let at = choice.below(input.len() + 1);
    let end = (at + choice.below(16)).min(input.len());
    match choice.below(7) {
        0 if at < input.len() => input[at] = choice.byte(),
        1 if at < input.len() => input[at] ^= 1 << choice.below(8),
        2 => drop(input.drain(at..end)),
        3 => input.insert(at, choice.byte()),
        4 => {
            let copy = input[at..end].to_vec();
            let to = choice.below(input.len() + 1);
            for _ in 0..=choice.below(20) {
                input.splice(to..to, copy.iter().copied());
            }
        }
        5 => {
            let other = samples[choice.below(samples.len())];
            let from = choice.below(other.len() + 1);
            let until = (from + choice.below(64)).min(other.len());
            input.splice(at..at, other[from..until].iter().copied());
        }
        _ => input.truncate(at),
    }
}

#[track_caller]
fn run(target: fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    let shown = String::from_utf8_lossy(&input[..input.len().min(2000)]);
    assert!(outcome.is_ok(), "panics on {} bytes: {shown:?}", input.len());
    assert!(began.elapsed() < PATIENCE, "takes {:?} for {} bytes: {shown:?}", began.elapsed(), input.len());
}

const JSON_PIECES: &[&str] =
    &["[…]", "{\"a\":…}", "{\"HostConfig\":…}", "\"", "\\", "1", "-", "[],", "\u{e9}", " "];

#[test]
fn bodies_of_requests() {
    let samples: &[&[u8]] = &[
        br#"{"Image":"a","Cmd":["x","y"],"Env":["A=b"],"Labels":{"a":"b"},"ExposedPorts":{"80/tcp":{}},"Tty":true}"#,
        br#"{"HostConfig":{"Binds":["/a:/b"],"Memory":1e3,"ConsoleSize":[1,2],"Mounts":[{"Type":"bind","BindOptions":{}}]}}"#,
        br#"{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"PidsLimit":-1,"Ulimits":[{"Name":"x","Soft":1}]}"#,
        b"null {} \xff \"\\ud800\"",
    ];
    fuzz(targets::request_body, samples, JSON_PIECES);
}

#[test]
fn heads_of_requests() {
    let samples: &[&[u8]] = &[
        b"GET /v1.51/containers/json?filters={\"a\":[\"b\"]} HTTP/1.1\r\nHost: d\r\nConnection: close, x\r\n\r\n",
        b"POST /x%20y HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    ];
    let pieces = ["a", "GET ", "/", "%41", "X: y\r\n", "\r\n", "GET / HTTP/1.1\r\n", ":", "\u{e9}"];
    fuzz(targets::request_head, samples, &pieces);
}

#[test]
fn queries() {
    let samples: &[&[u8]] = &[
        b"{\"status\":[\"a\"],\"label\":{\"a=b\":true}}",
        b"since=1.5&until=10m&all=1&t=-3&x=%41+b;",
        b"2024-01-02T03:04:05.678+02:00",
        b"a*[b-d]?\\x*\nabcdx",
        b"1h30m5.5s",
    ];
    let pieces =
        ["*", "[a-", "\\", "?", "&", "=", "%41", "%", "9", "1h", "[…]", "{\"a\":…}", "*a*\n", "\u{b5}s"];
    fuzz(targets::query, samples, &pieces);
}

#[test]
fn templates() {
    let samples: &[&[u8]] = &[
        b"table {{.ID}}\t{{.Names | upper | printf \"%-10s\"}} {{json .}} {{len .Ports}} {{index .Labels \"a\"}}",
        b"{{range $k, $v := .Labels}}{{$k}}={{$v}}{{else}}none{{end}}{{with .Nested}}{{.Deep}}{{end}}",
        b"{{if and (eq .Size 3) (not .Nothing)}}a{{else if lt .Size 4}}b{{else}}c{{end}}{{/* x */}}{{- .ID -}}",
        b"{{define \"x\"}}{{.}}{{end}}{{template \"x\" .ID}}{{split .ID \"3\"}}{{join (split .ID \"3\") \"-\"}}",
        b"{{slice .ID 1 3}}{{printf \"%q %v %5d %.2f %x\" .ID .Ports 3 1.5 255}}{{truncate .ID 3}}{{pad .ID 1 2}}",
    ];
    let pieces = [
        "(…)",
        "{{(…)}}",
        "{{if .ID}}…{{end}}",
        "{{if .ID}}a{{else}}…{{end}}",
        "{{else if .ID}}",
        "{{range .Ports}}…{{end}}",
        "{{with .ID}}…{{end}}",
        "{{block \"a\" .}}…{{end}}",
        "{{define \"a\"}}…{{end}}",
        "{{",
        "}}",
        "{{.ID}}",
        "{{.ID | ",
        ".a",
        "\"",
        "{{/*",
        "`",
        "{{printf \"%",
        "9",
        "{{define \"a\"}}{{template \"a\" .}}{{end}}{{template \"a\" .}}",
    ];
    fuzz(targets::template, samples, &pieces);
}

#[test]
fn flags_with_a_language() {
    let samples: &[&[u8]] = &[
        b"127.0.0.1:8000-8010:80-90/tcp",
        b"[::1]:80:80/udp",
        b"type=bind,source=/a,target=/b,readonly,bind-propagation=rslave",
        b"type=tmpfs,\"destination=/a,b\",tmpfs-size=64k,tmpfs-mode=1770",
        b"/dev/null:/dev/x:rwm",
        b"0-65535",
    ];
    fuzz(targets::flags, samples, &[":", "-", ",", "\"", "=", "[…]", "9", "1-", "/", "a,", "type=bind,"]);
}

#[test]
fn log_files() {
    let samples: &[&[u8]] = &[
        b"{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-02T03:04:05.678901234Z\"}\n",
        b"{\"log\":\"b\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"2024-01-02T03:04:05Z\"}\n\n\nx\n{",
    ];
    fuzz(targets::log_file, samples, &["\n", "{\n", "a", "[…]", "\0"]);
}

#[test]
fn runtime_specifications() {
    let samples: &[&[u8]] = &[
        br#"{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0},"rlimits":[{"type":"RLIMIT_NOFILE","hard":1,"soft":1}]},"root":{"path":"r"},"linux":{"namespaces":[{"type":"pid"}],"resources":{"memory":{"limit":-1},"devices":[{"allow":false,"access":"rwm"}]},"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW"}]}}}"#,
        br#"{"ociVersion":"1.0.0","hooks":{"prestart":[{"path":"/a","timeout":3}]},"mounts":[{"destination":"/a","options":["ro"]}],"annotations":{"a":"b"},"linux":{"uidMappings":[{"containerID":0,"hostID":1,"size":2}]}}"#,
    ];
    fuzz(targets::runtime_spec, samples, JSON_PIECES);
}

#[test]
fn documents_of_images() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"a","digest":"{digest}","size":1}},"layers":[]}}"#
    );
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z","config":{{"Env":["A=b"],"Volumes":{{"/a":{{}}}}}},"rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
    );
    fuzz(targets::image_documents, &[manifest.as_bytes(), config.as_bytes()], JSON_PIECES);
}

#[test]
fn names_of_images_and_platforms() {
    let digest = format!("host.example:5000/a/b@sha256:{}", "0".repeat(64));
    let samples: &[&[u8]] =
        &[b"busybox", b"localhost:5000/a/b_c__d-e.f:tag", digest.as_bytes(), b"linux/arm/v7"];
    fuzz(targets::names, samples, &["a", "/", "a/", ":", "@", "a-", "_", "__", ".", "0"]);
}

#[test]
fn instructions() {
    let samples: &[&[u8]] = &[
        b"CMD [\"a\", \"b\"]\nENTRYPOINT a b\nENV A=b C=\"d e\" F=$A${C:-x}\nEXPOSE 80/tcp 90-95\nUSER a:b",
        b"HEALTHCHECK --interval=1m30s --retries=3 CMD x\nVOLUME [\"/a\"]\nLABEL a=b \"c\"='d'\nSTOPSIGNAL 9\nWORKDIR a\nONBUILD RUN x\nSHELL [\"a\"]",
    ];
    fuzz(
        targets::changes,
        samples,
        &["CMD [", "\"", "'", "\\", "ENV A=", "${A:-", "ONBUILD ", "EXPOSE 1-9 ", "\n", "LABEL a=b\n"],
    );
}

#[test]
fn packets_of_the_shim() {
    use shim::protocol::Request;
    let known = Request::State.encode(7);
    let samples: &[&[u8]] = &[&known, &[0; 64], &[255; 64]];
    fuzz(targets::shim_packet, samples, &["a", "\0", "\u{7f}"]);
}

#[test]
fn archives() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    for (name, size) in [("a", 3), (&*"long/".repeat(40), 0)] {
        header.set_size(size);
        header.set_cksum();
        builder.append_data(&mut header, name, &b"abc"[..usize::try_from(size).unwrap()]).unwrap();
    }
    let archive = builder.into_inner().unwrap();
    fuzz(targets::tar, &[&archive, &archive[..700]], &["\0", "a", "0"]);
}
