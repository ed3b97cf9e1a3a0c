use api_types::container::CreateRequest;
use api_types::exec::{ExecCreateRequest, ExecStartRequest};
use serde_json::json;

use super::requests::{CREATE, EXEC_CREATE, EXEC_START};
use super::*;

fn create(text: &str) -> Result<CreateRequest, String> {
    parse(text.as_bytes(), &CREATE).map_err(|error| error.message().to_owned())
}

#[test]
fn names_match_in_any_case_and_null_is_absent() {
    let text = r#"{"image":"a","ENV":["x"],"hostconfig":{"MEMORY":5,"binds":null,"portbindings":{"80/tcp":null}},
        "Cmd":"true","NetworkingConfig":{"EndpointsConfig":{"net":null}},"Tty":null,"Unknown":{"a":1}}"#;
    let request = create(text).unwrap();
    assert_eq!(request.config.image, "a");
    assert_eq!(request.config.env, Some(vec!["x".to_owned()]));
    assert_eq!(request.config.cmd, Some(vec!["true".to_owned()]));
    assert_eq!((request.host_config.memory, request.host_config.binds), (5, None));
    assert!(request.host_config.port_bindings.unwrap().contains_key("80/tcp"));
    assert!(request.networking_config.endpoints_config.contains_key("net"));
}

/// Texts of dockerd 28.5.2.
#[test]
fn wrong_types_are_refused_in_go_s_words() {
    for (text, message) in [
        (r#"{"Image":5}"#, "cannot unmarshal number into Go struct field .Image of type string"),
        (r#"{"Image":true}"#, "cannot unmarshal bool into Go struct field .Image of type string"),
        (r#"{"Cmd":[1]}"#, "cannot unmarshal array into Go value of type string"),
        (r#"{"Cmd":{}}"#, "cannot unmarshal object into Go value of type string"),
        ("[]", "cannot unmarshal array into Go value of type container.CreateRequest"),
        (
            r#"{"HostConfig":5}"#,
            "cannot unmarshal number into Go struct field .HostConfig of type container.HostConfig",
        ),
        (
            r#"{"HostConfig":{"Memory":"x"}}"#,
            "cannot unmarshal string into Go struct field .HostConfig.Memory of type int64",
        ),
        (
            r#"{"HostConfig":{"Memory":1.5}}"#,
            "cannot unmarshal number 1.5 into Go struct field .HostConfig.Memory of type int64",
        ),
        (
            r#"{"HostConfig":{"BlkioWeight":70000}}"#,
            "cannot unmarshal number 70000 into Go struct field .HostConfig.BlkioWeight of type uint16",
        ),
        (
            r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":80}]}}}"#,
            "cannot unmarshal number into Go struct field .HostConfig.PortBindings.80~1tcp.0.HostPort of type string",
        ),
        (
            r#"{"HostConfig":{"PortBindings":{"a":[5]}}}"#,
            "cannot unmarshal number into .HostConfig.PortBindings.a.0 of type nat.PortBinding",
        ),
        (
            r#"{"HostConfig":{"Mounts":[{"BindOptions":[]}]}}"#,
            "cannot unmarshal array into Go struct field .HostConfig.Mounts.0.BindOptions of type mount.BindOptions",
        ),
        (
            r#"{"HostConfig":{"DeviceRequests":[{"Capabilities":[[5]]}]}}"#,
            "cannot unmarshal number into .HostConfig.DeviceRequests.0.Capabilities.0.0 of type string",
        ),
        (r#"{"Labels":{"a":1}}"#, "cannot unmarshal number into Go struct field .Labels.a of type string"),
        (
            r#"{"ExposedPorts":{"80/tcp":5}}"#,
            "cannot unmarshal number into Go struct field .ExposedPorts.80~1tcp of type struct {}",
        ),
    ] {
        assert_eq!(create(text).unwrap_err(), format!("invalid JSON: json: {message}"), "{text}");
    }
    let exec = parse::<ExecCreateRequest>(br#"{"Cmd":"true"}"#, &EXEC_CREATE).unwrap_err();
    assert_eq!(
        exec.message(),
        "invalid JSON: json: cannot unmarshal string into Go struct field ExecOptions.Cmd of type []string"
    );
}

/// Texts of dockerd 28.5.2.
#[test]
fn broken_documents_are_refused_in_go_s_words() {
    for (text, message) in [
        ("{", "invalid JSON: unexpected EOF"),
        ("[1", "invalid JSON: unexpected EOF"),
        ("x", "invalid JSON: invalid character 'x' looking for beginning of value"),
        (r#"{"Image":"a"x}"#, "invalid JSON: invalid character 'x' after object key:value pair"),
        (r#"{"a" "b"}"#, "invalid JSON: invalid character '\"' after object key"),
        ("{a}", "invalid JSON: invalid character 'a' looking for beginning of object key string"),
        (
            r#"{"Image":"a",}"#,
            "invalid JSON: invalid character '}' looking for beginning of object key string",
        ),
        (r#"{"Image":"a"}{}"#, "unexpected content after JSON"),
    ] {
        assert_eq!(create(text).unwrap_err(), message, "{text}");
    }
    for deep in [200, 100_000] {
        let text = format!("{{\"a\":{}", "[".repeat(deep));
        assert_eq!(create(&text).unwrap_err(), "invalid JSON: exceeded max depth");
    }
}

#[test]
fn missing_items_and_too_long_pairs_are_filled_and_cut() {
    let request = create(r#"{"HostConfig":{"ConsoleSize":[1,2,3]}}"#).unwrap();
    assert_eq!(request.host_config.console_size, [1, 2]);
    let request = parse::<ExecStartRequest>(br#"{"ConsoleSize":[7]}"#, &EXEC_START).unwrap();
    assert_eq!(request.console_size, Some([7, 0]));
}

/// The tables and the types of `api-types` are two descriptions of the same thing.
#[test]
fn every_field_of_a_table_is_a_field_of_the_type() {
    fn sample(schema: &Schema) -> Value {
        match schema {
            Schema::String | Schema::Named(_) => json!("x"),
            Schema::Bool => json!(true),
            Schema::Integer(..) => json!(7),
            Schema::List(_, of) => json!([sample(of)]),
            Schema::Pair(_, of) => json!([sample(of), sample(of)]),
            Schema::Map(_, of) => json!({ "key": sample(of) }),
            Schema::Words => json!(["x"]),
            Schema::Struct(of) => {
                let fields = of.embeds.iter().flat_map(|embedded| embedded.fields).chain(of.fields);
                fields.map(|(name, schema)| ((*name).to_owned(), sample(schema))).collect()
            }
        }
    }
    fn check<T: serde::Serialize + DeserializeOwned>(schema: &'static Struct) {
        let sample = sample(&Schema::Struct(schema));
        let read: T = parse(sample.to_string().as_bytes(), schema).unwrap();
        let again = serde_json::to_value(read).unwrap();
        let sorted = |value: &Value| {
            let mut keys: Vec<_> = flat(value, "");
            keys.sort();
            keys
        };
        assert_eq!(sorted(&sample), sorted(&again), "{}", schema.name);
    }
    fn flat(value: &Value, at: &str) -> Vec<String> {
        match value {
            Value::Object(members) if !members.is_empty() => {
                members.iter().flat_map(|(name, member)| flat(member, &format!("{at}.{name}"))).collect()
            }
            Value::Array(items) if !items.is_empty() => {
                items.iter().flat_map(|item| flat(item, &format!("{at}[]"))).collect()
            }
            leaf => vec![format!("{at}={leaf}")],
        }
    }
    check::<CreateRequest>(&CREATE);
    check::<ExecCreateRequest>(&EXEC_CREATE);
    check::<ExecStartRequest>(&EXEC_START);
}

#[test]
fn the_content_type_must_be_json_once_there_is_a_body() {
    let with = |value: &str| HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
    assert_eq!(check_content_type(&with("application/json; charset=utf-8"), true), Ok(()));
    assert_eq!(check_content_type(&HeaderMap::new(), false), Ok(()));
    for (headers, message) in [
        (with("text/plain"), "unsupported Content-Type header (text/plain): must be 'application/json'"),
        (HeaderMap::new(), "malformed Content-Type header (): mime: no media type"),
    ] {
        assert_eq!(check_content_type(&headers, true).unwrap_err(), ApiError::bad_request(message));
    }
}
