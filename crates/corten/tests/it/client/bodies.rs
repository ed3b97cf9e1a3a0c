//! `run` posts what Docker's own client posts. `bodies.json` was recorded from docker 28.2.2: the body for a bare image,
//! and for every other command line what differs from it.

use serde_json::{Map, Value};

use super::server::{Answer, Engine};

const RECORDED: &str = include_str!("bodies.json");

#[test]
fn run_posts_what_dockers_client_posts() {
    let rows: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let base = rows[0]["base"].as_object().unwrap();
    let engine = Engine::start(|_| Answer::error(400, "recorded"));
    engine.write("env", b"# c\nONE=1\nTWO=two words\nHOME\nNOPE_NOT_SET\nEMPTY=\n");
    engine.write("labels", b"x=y\nz\n");
    engine.write("seccomp", b"{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\",\n  \"syscalls\": []\n}\n");
    let fixtures = engine.directory().display().to_string();
    let mut wrong = Vec::new();
    for row in &rows {
        let words = row["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let argv: Vec<String> = words.map(|word| word.replace("FIXTURE", &fixtures)).collect();
        let before = engine.requests().len();
        // A terminal is asked for only where there is one.
        let command = if argv[0] == "-it" { "create" } else { "run" };
        let output = engine.command("corten").arg(command).args(&argv).output().unwrap();
        let requests = engine.requests().split_off(before);
        let Some(request) = requests.iter().find(|request| request.call() == "POST /containers/create")
        else {
            wrong.push(format!("{argv:?}: nothing was posted: {}", String::from_utf8_lossy(&output.stderr)));
            continue;
        };
        let posted = in_order(serde_json::from_slice(&request.body).unwrap());
        let want = in_order(expected(base, &row["changes"]));
        if posted != want {
            wrong.push(format!("{argv:?}:{}", differences(&posted, &want, "")));
        }
        let query = row["query"].as_str().unwrap_or_default().replace("%2F", "/");
        if request.query().replace("%2F", "/") != query {
            wrong.push(format!("{argv:?}: query {} instead of {query}", request.query()));
        }
    }
    // The order of members is the recorded one, too.
    let first = String::from_utf8(engine.requests()[0].body.clone()).unwrap();
    assert_eq!(first, Value::Object(base.clone()).to_string());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Variables in alphabetical order: Docker's client shuffles them.
fn in_order(mut body: Value) -> Value {
    if let Some(variables) = body["Env"].as_array_mut() {
        variables.sort_by_key(Value::to_string);
    }
    body
}

/// The recorded body: the base with what differs.
fn expected(base: &Map<String, Value>, changes: &Value) -> Value {
    let mut body = base.clone();
    for (name, value) in changes.as_object().into_iter().flatten() {
        match (name.as_str(), value, body.get_mut(name)) {
            ("HostConfig" | "NetworkingConfig", Value::Object(changed), Some(Value::Object(part))) => {
                part.extend(changed.clone());
            }
            _ => {
                body.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(body)
}

fn differences(posted: &Value, want: &Value, path: &str) -> String {
    let (Some(posted), Some(want)) = (posted.as_object(), want.as_object()) else {
        return format!("\n  {path}: {posted} instead of {want}");
    };
    let mut names: Vec<&String> = posted.keys().chain(want.keys()).collect();
    names.sort();
    names.dedup();
    let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    names
        .into_iter()
        .map(|name| match (posted.get(name), want.get(name)) {
            (Some(a), Some(b)) if a == b => String::new(),
            (Some(a @ Value::Object(_)), Some(b @ Value::Object(_))) => {
                differences(a, b, &format!("{path}/{name}"))
            }
            (a, b) => format!("\n  {path}/{name}: {} instead of {}", show(a), show(b)),
        })
        .collect()
}
