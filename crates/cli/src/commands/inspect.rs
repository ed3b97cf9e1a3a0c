//! `inspect`: the engine's own description of objects, as JSON or through a template.

mod schema;

use std::io::Write;

use api_client::{Client, ClientError};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, FAILURE, Outcome, suggestion};
use crate::flags::value::quoted;
use crate::flags::{Flag, Tables, flag};
use crate::format::JSON;
use crate::template::value::Type;
use crate::template::{MissingKey, Template, Value};
use crate::ui::Ui;

use super::pull::platform_json;

/// Exit code of a template that cannot be read.
const BAD_TEMPLATE: u8 = 64;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct InspectArgs {
    format: String,
    size: bool,
    kind: Option<String>,
    platform: String,
}

const FORMAT: Flag<InspectArgs> = Flag {
    help: "Print in another format:\n\
           'json':             JSON without white space\n\
           'TEMPLATE':         what a Go template makes of each",
    ..flag!(InspectArgs, format, 'f', "format", "")
};
const SIZE: Flag<InspectArgs> =
    flag!(InspectArgs, size, 's', "size", "Count the sizes of a container's file systems");
const TYPE: Flag<InspectArgs> = flag!(InspectArgs, kind, "type", "Look only for objects of this type");
const PLATFORM: Flag<InspectArgs> =
    flag!(InspectArgs, platform, "platform", "Describe this platform of the image, os[/arch[/variant]]");

/// `inspect`.
pub(crate) struct Inspect;

impl Command for Inspect {
    type Args = InspectArgs;
    const FLAGS: Tables<InspectArgs> = &[&[FORMAT, SIZE, TYPE]];
    const USAGE: &'static str = "[OPTIONS] NAME|ID [NAME|ID...]";
    const ABOUT: &'static str = "Show the engine's own description of objects";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: InspectArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let kinds = match &args.kind {
            None => Kind::SEARCHED.to_vec(),
            Some(name) => vec![Kind::named(name)?],
        };
        let asks_size = args.size && kinds == [kinds[0]] && kinds[0] != Kind::Container;
        if asks_size {
            let name = kinds[0].name();
            return Err(CommandError::new(format!("--size is not supported for {name}")));
        }
        inspect(&args, &operands, &kinds, context, ui).await
    }
}

/// `container inspect`.
pub(crate) struct ContainerInspect;

impl Command for ContainerInspect {
    type Args = InspectArgs;
    const FLAGS: Tables<InspectArgs> = &[&[FORMAT, SIZE]];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Show the engine's own description of containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: InspectArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        inspect(&args, &operands, &[Kind::Container], context, ui).await
    }
}

/// `image inspect`.
pub(crate) struct ImageInspect;

impl Command for ImageInspect {
    type Args = InspectArgs;
    const FLAGS: Tables<InspectArgs> = &[&[FORMAT, PLATFORM]];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ABOUT: &'static str = "Show the engine's own description of images";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: InspectArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        inspect(&args, &operands, &[Kind::Image], context, ui).await
    }
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Container,
    Image,
    Network,
    Node,
    Plugin,
    Secret,
    Service,
    Task,
    Volume,
}

impl Kind {
    /// Looked through, in this order, when no type is given.
    const SEARCHED: [Self; 4] = [Self::Container, Self::Image, Self::Network, Self::Volume];
    const ALL: [(&'static str, Self); 10] = [
        ("config", Self::Config),
        ("container", Self::Container),
        ("image", Self::Image),
        ("network", Self::Network),
        ("node", Self::Node),
        ("plugin", Self::Plugin),
        ("secret", Self::Secret),
        ("service", Self::Service),
        ("task", Self::Task),
        ("volume", Self::Volume),
    ];

    fn named(name: &str) -> Result<Self, CommandError> {
        if name.is_empty() {
            return Err(CommandError::new(
                "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
            ));
        }
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(|(known, _)| quoted(known)).collect();
            CommandError::new(format!("unknown type: {}: must be one of {}", quoted(name), names.join(", ")))
        })
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("object", |(name, _)| name)
    }

    /// What Go takes its description for.
    fn schema(self) -> Type {
        match self {
            Self::Container => Type::Struct(&schema::CONTAINER),
            Self::Image => Type::Struct(&schema::IMAGE),
            _ => Type::Any,
        }
    }

    async fn fetch(
        self,
        engine: &Client,
        name: &str,
        size: bool,
        platform: &str,
    ) -> Result<Bytes, ClientError> {
        match self {
            Self::Container => engine.inspect_container_raw(name, size).await,
            Self::Image => engine.inspect_image_raw(name, platform).await,
            Self::Plugin => engine.inspect_raw("plugins", name, "/json").await,
            kind => engine.inspect_raw(&format!("{}s", kind.name()), name, "").await,
        }
    }
}

async fn inspect(
    args: &InspectArgs,
    names: &[String],
    kinds: &[Kind],
    context: &Context,
    ui: &mut Ui,
) -> Outcome {
    let mut output = Output::new(&args.format)?;
    let platform = platform_json(&args.platform)?;
    let engine = context.engine(ui)?;
    let mut failures = Vec::new();
    for name in names {
        match find(engine, name, kinds, args.size, &platform).await {
            Ok((kind, document)) => {
                if let Err(why) = output.add(&document, kind.schema()) {
                    failures.push(why);
                }
            }
            Err(why) => failures.push(why),
        }
    }
    output.print(ui)?;
    match failures.is_empty() {
        true => Ok(0),
        false => Err(CommandError { message: failures.join("\n"), code: FAILURE }),
    }
}

/// The first object of that name among the kinds.
async fn find(
    engine: &Client,
    name: &str,
    kinds: &[Kind],
    size: bool,
    platform: &str,
) -> Result<(Kind, Json), String> {
    let mut near = String::new();
    for kind in kinds {
        let size = size && *kind == Kind::Container;
        match kind.fetch(engine, name, size, platform).await {
            Ok(bytes) => {
                let document = serde_json::from_slice(&bytes);
                return document.map(|document| (*kind, document)).map_err(|error| error.to_string());
            }
            // Another kind may have it.
            Err(error) if kinds.len() > 1 && (error.is_not_found() || not_of_this_engine(&error)) => {
                if near.is_empty() {
                    near = suggestion(&error.to_string()).to_owned();
                }
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("Error: No such object: {name}{near}"))
}

/// The engine does not know the kind at all, or refuses the name for it.
fn not_of_this_engine(error: &ClientError) -> bool {
    matches!(error.status(), Some(400 | 501 | 503))
}

/// What has been found, in the form that was asked for.
enum Output {
    /// Indented JSON.
    Indented(Vec<Json>),
    /// JSON without white space.
    Compact(Vec<Json>),
    /// What a template makes of each.
    Template { template: Template, text: String },
}

impl Output {
    fn new(format: &str) -> Result<Self, CommandError> {
        match format {
            "" => Ok(Self::Indented(Vec::new())),
            JSON => Ok(Self::Compact(Vec::new())),
            format => {
                let template = Template::parse("", format).map_err(|why| {
                    CommandError::new(format!("template parsing error: {why}")).with_code(BAD_TEMPLATE)
                })?;
                Ok(Self::Template { template, text: String::new() })
            }
        }
    }

    fn add(&mut self, document: &Json, schema: Type) -> Result<(), String> {
        match self {
            Self::Indented(documents) | Self::Compact(documents) => {
                documents.push(document.clone());
                Ok(())
            }
            Self::Template { template, text } => {
                text.push_str(&apply(template, document, schema)?);
                text.push('\n');
                Ok(())
            }
        }
    }

    fn print(&self, ui: &mut Ui) -> Result<(), CommandError> {
        let out = ui.stdout();
        match self {
            Self::Indented(documents) => {
                let mut serializer =
                    Serializer::with_formatter(&mut *out, PrettyFormatter::with_indent(b"    "));
                documents.serialize(&mut serializer).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
            Self::Compact(documents) => writeln!(out, "{}", Json::from(documents.clone()))?,
            Self::Template { text, .. } if text.is_empty() => writeln!(out)?,
            Self::Template { text, .. } => write!(out, "{text}")?,
        }
        Ok(())
    }
}

/// Runs a template on the document as Go types it; where that fails, on the bare document, whose failure counts.
pub(super) fn apply(template: &Template, document: &Json, schema: Type) -> Result<String, String> {
    let mut text = String::new();
    let typed = Value::document(document.clone(), schema);
    if schema != Type::Any && template.execute(&typed, MissingKey::NoValue, &mut text).is_ok() {
        return Ok(text);
    }
    text.clear();
    let bare = Value::document(document.clone(), Type::Any);
    match template.execute(&bare, MissingKey::Error, &mut text) {
        Ok(()) => Ok(text),
        Err(why) => Err(format!("template parsing error: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(template: &str) -> Result<String, String> {
        let document = json!({
            "Id": "0123",
            "Args": ["a", "b"],
            "State": {"Status": "running", "Running": true, "Pid": 5, "StartedAt": "x", "FinishedAt": "y"},
            "Name": "/c1",
            "HostConfig": {"Binds": null, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}, "Memory": 0},
            "Mounts": [{"Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "", "RW": true, "Propagation": "rslave"}],
            "Config": {"Labels": {"b": "2", "a": "1"}, "ExposedPorts": {"80/tcp": {}}, "Cmd": ["sh"]},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}},
        });
        apply(&Template::parse("", template)?, &document, Type::Struct(&schema::CONTAINER))
    }

    #[test]
    fn values_print_as_in_go() {
        for (template, want) in [
            ("{{.Name}} {{.Id}}", "/c1 0123"),
            ("{{.Name}} {{.ID}}", "/c1 0123"),
            ("{{.State.Health}}", "<nil>"),
            ("{{.HostConfig.RestartPolicy}}", "{on-failure 2}"),
            ("{{.Mounts}}", "[{bind  /s /d   true rslave}]"),
            ("{{.Config.Labels}}", "map[a:1 b:2]"),
            ("{{.Config.ExposedPorts}}", "map[80/tcp:{}]"),
            ("{{.NetworkSettings.Ports}}", "map[80/tcp:[{ 80}]]"),
            ("{{.HostConfig.Binds}}", "[]"),
            ("{{json .HostConfig.Binds}}", "null"),
            ("{{json .HostConfig.RestartPolicy}}", r#"{"Name":"on-failure","MaximumRetryCount":2}"#),
            ("{{.Config.Labels.zz}}", "<no value>"),
            ("{{index .Config.Labels \"zz\"}}", ""),
            ("{{.HostConfig.PidsLimit}}", "<nil>"),
            ("{{.HostConfig.Memory}}", "0"),
            ("{{index .Args 1}} {{len .Args}} {{join .Args \",\"}}", "b 2 a,b"),
            ("{{range $i, $e := .Args}}{{$i}}:{{$e}},{{end}}", "0:a,1:b,"),
            ("{{printf \"%-5s|%3d|%q|%x\" .Name 5 .Name .Name}}", "/c1  |  5|\"/c1\"|2f6331"),
            ("{{with .State}}{{.Status}}{{end}}", "running"),
            ("{{eq .State.Status \"running\"}} {{not .Name}} {{and .Name 0}}", "true false 0"),
            ("{{.Name | printf \"%s-%s\" \"a\"}}", "a-/c1"),
            (
                "{{pad .Name 2 3}}|{{truncate .Name 2}}|{{title \"abc def\"}}|{{split .Name \"1\"}}",
                "  /c1   |/c|Abc Def|[/c ]",
            ),
            ("{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3"),
            ("{{define \"x\"}}a{{end}}{{template \"x\"}}", "a"),
            ("{{html \"<\"}} {{1.5}} {{true}} {{slice .Name 0 2}}", "&lt; 1.5 true /c"),
            ("{{printf \"%d\" .Name}} {{printf \"%v\"}}", "%!d(string=/c1) %!v(MISSING)"),
        ] {
            assert_eq!(show(template), Ok(want.to_owned()), "{template}");
        }
    }

    #[test]
    fn failures_name_the_place() {
        let at = |place: &str, what: &str| {
            Err(format!("template parsing error: template: :1:{place}: executing \"\" at <{what}"))
        };
        for (template, want) in [
            ("{{.Foo}}", at("2", ".Foo>: map has no entry for key \"Foo\"")),
            ("{{.State.Foo}}", at("8", ".State.Foo>: map has no entry for key \"Foo\"")),
            (
                "{{.State.Health.Status}}",
                at("8", ".State.Health.Status>: map has no entry for key \"Health\""),
            ),
            ("{{.A.B.C}}", at("4", ".A.B.C>: map has no entry for key \"A\"")),
            ("{{.Name.Foo}}", at("7", ".Name.Foo>: can't evaluate field Foo in type interface {}")),
            ("{{index .Args 5}}", at("2", "index .Args 5>: error calling index: index out of range: 5")),
            ("{{len 3}}", at("2", "len 3>: error calling len: len of type int")),
            ("{{range .Foo}}x{{end}}", at("8", ".Foo>: map has no entry for key \"Foo\"")),
            ("{{.Name 3}}", at("2", ".Name>: Name is not a method but has arguments")),
            ("{{nil}}", at("2", "nil>: nil is not a command")),
            ("{{upper 3}}", at("8", "3>: expected string; found 3")),
            ("{{eq .Name 3}}", at("2", "eq .Name 3>: error calling eq: incompatible types for comparison")),
            ("{{template \"x\"}}", at("11", "{{template \"x\"}}>: template \"x\" not defined")),
            (
                "{{index .Config.Labels 3}}",
                at("2", "index .Config.Labels 3>: error calling index: value has type int; should be string"),
            ),
        ] {
            assert_eq!(show(template), want, "{template}");
        }
    }

    #[test]
    fn texts_that_are_no_templates_are_refused() {
        for (template, want) in [
            ("{{.Foo", "template: :1: unclosed action"),
            ("{{end}}", "template: :1: unexpected {{end}}"),
            ("{{else}}", "template: :1: unexpected {{else}}"),
            ("{{if}}x{{end}}", "template: :1: missing value for if"),
            ("{{foo}}", "template: :1: function \"foo\" not defined"),
            ("{{range .Mounts}}", "template: :1: unexpected EOF"),
        ] {
            assert_eq!(show(template), Err(want.to_owned()), "{template}");
        }
    }
}
