//! Each row was seen on dockerd 28.5.

use super::*;

fn applied(changes: &[&str]) -> Result<String, String> {
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let config = apply(RunConfig::default(), &changes).map_err(|error| error.to_string())?;
    let mut json = serde_json::to_value(&config).unwrap();
    let plain = serde_json::to_value(RunConfig::default()).unwrap();
    json.as_object_mut().unwrap().retain(|key, value| plain.get(key) != Some(value));
    Ok(json.to_string())
}

#[test]
fn instructions_have_dockers_effect() {
    for (changes, expected) in [
        (&["CMD"][..], r#"{"Cmd":["/bin/sh","-c"]}"#),
        (&["CMD []"], r#"{"Cmd":[]}"#),
        (&["cmd echo $A"], r#"{"Cmd":["/bin/sh","-c","echo $A"]}"#),
        (&["CMD    a   b  "], r#"{"Cmd":["/bin/sh","-c","a   b"]}"#),
        (&[r#"CMD ["\u0041", "b\n"] "#], r#"{"Cmd":["A","b\n"]}"#),
        (&["CMD [a]"], r#"{"Cmd":["/bin/sh","-c","[a]"]}"#),
        (&["CMD -- --foo x"], r#"{"Cmd":["/bin/sh","-c","--foo x"]}"#),
        (&["CMD echo a \\\n b"], r#"{"Cmd":["/bin/sh","-c","echo a  b"]}"#),
        (&["CMD <<EOF"], r#"{"Cmd":["/bin/sh","-c","<<EOF"]}"#),
        (&["ENTRYPOINT"], "{}"),
        (&["ENTRYPOINT []"], "{}"),
        (&["ENTRYPOINT a b"], r#"{"Entrypoint":["/bin/sh","-c","a b"]}"#),
        (&["CMD x", r#"ENTRYPOINT ["/x"]"#], r#"{"Cmd":["/bin/sh","-c","x"],"Entrypoint":["/x"]}"#),
        (&["ENV A b c"], r#"{"Env":["A=b c"]}"#),
        (&["ENV A   b   c  "], r#"{"Env":["A=b   c"]}"#),
        (&[r#"ENV A x"y z""#], r#"{"Env":["A=xy z"]}"#),
        (&["ENV A="], r#"{"Env":["A="]}"#),
        (&["env x=y"], r#"{"Env":["x=y"]}"#),
        (&[r"ENV A='x y' B=z\ w"], r#"{"Env":["A=x y","B=z w"]}"#),
        (&["ENV a=b a=c"], r#"{"Env":["a=c"]}"#),
        (&["ENV A=a$"], r#"{"Env":["A=a$"]}"#),
        (&["ENV A=a\\"], r#"{"Env":["A=a"]}"#),
        (&["ENV A=$1"], r#"{"Env":["A="]}"#),
        (&["ENV A=${X:+y}"], r#"{"Env":["A="]}"#),
        (&[r#"ENV A="x\"y\n""#], r#"{"Env":["A=x\"y\\n"]}"#),
        (
            &["ENV A=/b", "ENV B=$A/${A}x", "WORKDIR $B"],
            r#"{"Env":["A=/b","B=/b//bx"],"WorkingDir":"/b/bx"}"#,
        ),
        (
            &["ENV A=/b", r#"ENV C=${X:-def} D=\$A E="q $A" F='s $A'"#, "ENV A=2"],
            r#"{"Env":["A=2","C=def","D=$A","E=q /b","F=s $A"]}"#,
        ),
        (&["LABEL a b c"], r#"{"Labels":{"a":"b c"}}"#),
        (&[r#"LABEL a.b="c \"d\" $x""#], r#"{"Labels":{"a.b":"c \"d\" "}}"#),
        (
            &["EXPOSE 80 90/udp 100-102"],
            r#"{"ExposedPorts":{"100/tcp":{},"101/tcp":{},"102/tcp":{},"80/tcp":{},"90/udp":{}}}"#,
        ),
        (&["EXPOSE 1.2.3.4:80:90"], r#"{"ExposedPorts":{"90/tcp":{}}}"#),
        (&["EXPOSE 0"], r#"{"ExposedPorts":{"0/tcp":{}}}"#),
        (&[r#"EXPOSE """#], "{}"),
        (&["HEALTHCHECK NONE"], r#"{"Healthcheck":{"Test":["NONE"]}}"#),
        (&["HEALTHCHECK --retries=3 NONE"], r#"{"Healthcheck":{"Test":["NONE"]}}"#),
        (&[r#"HEALTHCHECK CMD ["a","b"]"#], r#"{"Healthcheck":{"Test":["CMD","a","b"]}}"#),
        (&[r#"HEALTHCHECK cmd echo "a  b""#], r#"{"Healthcheck":{"Test":["CMD-SHELL","echo \"a  b\""]}}"#),
        (
            &["HEALTHCHECK --interval=1h2m3.5s --timeout=0s --start-interval=7s --retries=0 CMD x"],
            r#"{"Healthcheck":{"Test":["CMD-SHELL","x"],"Interval":3723500000000,"StartInterval":7000000000}}"#,
        ),
        (&["STOPSIGNAL sigterm"], r#"{"StopSignal":"sigterm"}"#),
        (&["STOPSIGNAL 99"], r#"{"StopSignal":"99"}"#),
        (&["STOPSIGNAL RTMIN+3"], r#"{"StopSignal":"RTMIN+3"}"#),
        (&["USER a b"], r#"{"User":"a b"}"#),
        (&["USER $foo"], "{}"),
        (&["WORKDIR a b"], r#"{"WorkingDir":"/a b"}"#),
        (&[r#"WORKDIR "/q x""#], r#"{"WorkingDir":"/q x"}"#),
        (&["WORKDIR /w", "WORKDIR rel", "WORKDIR ../x"], r#"{"WorkingDir":"/w/x"}"#),
        (&["VOLUME /a /b"], r#"{"Volumes":{"/a":{},"/b":{}}}"#),
        (&[r#"VOLUME ["/x", "/y z"]"#], r#"{"Volumes":{"/x":{},"/y z":{}}}"#),
        (&[r#"VOLUME ["a" "b"]"#], r#"{"Volumes":{"[a":{},"b]":{}}}"#),
        (&["ONBUILD  RUN   a  b"], r#"{"OnBuild":["RUN   a  b"]}"#),
        (&["onbuild add a b", "ONBUILD foo"], r#"{"OnBuild":["add a b","foo"]}"#),
        (&["# comment", "", "USER x"], r#"{"User":"x"}"#),
    ] {
        assert_eq!(applied(changes).as_deref(), Ok(expected), "{changes:?}");
    }
}

#[test]
fn refusals_use_dockers_words() {
    for (change, expected) in [
        ("", "file with no instructions"),
        ("# comment", "file with no instructions"),
        ("RUN x", "RUN is not a valid change command"),
        ("run x", "RUN is not a valid change command"),
        ("FROM y", "FROM is not a valid change command"),
        ("SHELL [\"/bin/bash\"]", "SHELL is not a valid change command"),
        ("MAINTAINER", "MAINTAINER is not a valid change command"),
        ("LABEL a=\"b\nc\"", "c\" is not a valid change command"),
        ("CMD --foo x", "unknown flag: --foo"),
        ("CMD [\"a\", 1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("ENV A", "ENV must have two arguments"),
        ("LABEL a", "LABEL must have two arguments"),
        ("ENV A=1 B", "Syntax error - can't find = in \"B\". Must be of the form: name=value"),
        ("ENV =x", "ENV names can not be blank"),
        ("LABEL =x", "LABEL names can not be blank"),
        (
            "ENV A='x",
            "failed to process \"'x\": unexpected end of statement while looking for matching single-quote",
        ),
        (
            "ENV \"A=b\"",
            "failed to process \"\\\"A\": unexpected end of statement while looking for matching double-quote",
        ),
        ("ENV A=${X:?msg}", "failed to process \"${X:?msg}\": X: msg"),
        ("ENV A=${X?}", "failed to process \"${X?}\": X: is not allowed to be unset"),
        ("ENV A=${X:=y}", "failed to process \"${X:=y}\": unsupported modifier (:=) in substitution"),
        ("ENV A=${X", "failed to process \"${X\": unsupported modifier (\u{fffd}) in substitution"),
        ("ENV A=${}", "failed to process \"${}\": syntax error: bad substitution"),
        ("EXPOSE x", "Invalid containerPort: x"),
        ("EXPOSE 99999", "Invalid containerPort: 99999"),
        ("EXPOSE 90-80", "Invalid containerPort: 90-80"),
        ("EXPOSE 80/foo", "Invalid proto: foo"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK FOO", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --bad=1 CMD x", "unknown flag: --bad"),
        ("HEALTHCHECK --interval CMD y", "missing a value on flag: --interval"),
        ("HEALTHCHECK --interval=1s --interval=2s CMD y", "duplicate flag specified: --interval"),
        ("HEALTHCHECK --interval=x CMD y", "time: invalid duration \"x\""),
        ("HEALTHCHECK --interval=-1s CMD y", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --interval=0s --timeout=1us CMD x", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD y", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD y", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("STOPSIGNAL FOO", "invalid signal: FOO"),
        ("STOPSIGNAL 0", "invalid signal: 0"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("WORKDIR $X", "cannot normalize nothing"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("VOLUME $X", "VOLUME specified can not be an empty string"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ] {
        assert_eq!(applied(&[change]), Err(expected.to_owned()), "{change:?}");
    }
}
