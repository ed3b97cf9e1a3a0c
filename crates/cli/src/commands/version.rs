//! `version`: the versions of client and engine.

use std::io::Write;

use api_client::ClientError;
use api_types::system::{Component, Version as EngineVersion};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::format::JSON;
use crate::template::value::{Field, Struct, Type};
use crate::template::{MissingKey, Template, Value};
use crate::ui::Ui;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct VersionArgs {
    format: String,
}

const FLAGS: &[Flag<VersionArgs>] = &[Flag {
    help: "Print in another format:\n\
           'json':             JSON without white space\n\
           'TEMPLATE':         what a Go template makes of it",
    ..flag!(VersionArgs, format, 'f', "format", "")
}];

/// `version`.
pub(crate) struct Version;

impl Command for Version {
    type Args = VersionArgs;
    const FLAGS: Tables<VersionArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Show the versions of client and engine";
    const ARITY: Arity = Arity::None;

    async fn run(args: VersionArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let template = match args.format.as_str() {
            "" => None,
            JSON => Some("{{json .}}"),
            format => Some(format),
        };
        let template = template.map(|text| Template::parse("version", text)).transpose();
        let template = template
            .map_err(|why| CommandError::new(format!("template parsing error: {why}")).with_code(64))?;
        let engine = context.engine(ui)?;
        let answer: Result<EngineVersion, ClientError> = engine.engine_version().await;
        let client = client(&engine.version());
        let shown = match &template {
            Some(template) => show_template(template, &client, answer.as_ref().ok(), ui),
            None => show_text(context.program, &client, answer.as_ref().ok(), ui).map_err(CommandError::from),
        };
        shown?;
        ui.flush()?;
        answer?;
        Ok(0)
    }
}

/// The client's part.
fn client(api_version: &str) -> Json {
    json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": api_version,
        "DefaultAPIVersion": api_types::MAX_API_VERSION,
        "GitCommit": option_env!("CORTEN_COMMIT").unwrap_or_default(),
        "GoVersion": "",
        "Os": std::env::consts::OS,
        "Arch": oci::platform::Platform::host().architecture,
        "BuildTime": "",
        "Context": "default",
    })
}

static VERSION_INFO: Struct = Struct {
    name: "system.versionInfo",
    fields: &[
        Field::new("Client", Type::Struct(&CLIENT)),
        Field::new("Server", Type::Pointer(&Type::Struct(&SERVER))),
    ],
};

static CLIENT: Struct = Struct {
    name: "system.clientVersion",
    fields: &[
        Field::new("Version", Type::Text),
        Field::renamed("APIVersion", "ApiVersion", Type::Text),
        Field::new("DefaultAPIVersion", Type::Text),
        Field::new("GitCommit", Type::Text),
        Field::new("GoVersion", Type::Text),
        Field::new("Os", Type::Text),
        Field::new("Arch", Type::Text),
        Field::new("BuildTime", Type::Text),
        Field::new("Context", Type::Text),
    ],
};

static SERVER: Struct = Struct {
    name: "types.Version",
    fields: &[
        Field::new("Platform", Type::Struct(&PLATFORM)),
        Field::new("Components", Type::List(&Type::Struct(&COMPONENT))),
        Field::new("Version", Type::Text),
        Field::renamed("APIVersion", "ApiVersion", Type::Text),
        Field::new("MinAPIVersion", Type::Text),
        Field::new("GitCommit", Type::Text),
        Field::new("GoVersion", Type::Text),
        Field::new("Os", Type::Text),
        Field::new("Arch", Type::Text),
        Field::new("KernelVersion", Type::Text),
        Field::new("Experimental", Type::Bool),
        Field::new("BuildTime", Type::Text),
    ],
};

static PLATFORM: Struct =
    Struct { name: "struct { Name string }", fields: &[Field::new("Name", Type::Text)] };

static COMPONENT: Struct = Struct {
    name: "types.ComponentVersion",
    fields: &[
        Field::new("Name", Type::Text),
        Field::new("Version", Type::Text),
        Field::new("Details", Type::Map(&Type::Text)),
    ],
};

fn show_template(
    template: &Template,
    client: &Json,
    engine: Option<&EngineVersion>,
    ui: &mut Ui,
) -> Result<(), CommandError> {
    let server = engine.map(|version| json!(version));
    let document = Value::document(json!({"Client": client, "Server": server}), Type::Struct(&VERSION_INFO));
    let mut text = String::new();
    let run = template.execute(&document, MissingKey::NoValue, &mut text);
    writeln!(ui.stdout(), "{text}")?;
    run.map_err(CommandError::new)
}

fn show_text(
    program: &str,
    client: &Json,
    engine: Option<&EngineVersion>,
    ui: &mut Ui,
) -> std::io::Result<()> {
    let _ = program;
    let out = ui.stdout();
    let text = |name: &str| client[name].as_str().unwrap_or_default().to_owned();
    let (version, newest) = (text("ApiVersion"), text("DefaultAPIVersion"));
    let api = if version == newest { version } else { format!("{version} (downgraded from {newest})") };
    writeln!(out, "Client:")?;
    let rows = [
        ("Version:", text("Version")),
        ("API version:", api),
        ("Git commit:", text("GitCommit")),
        ("OS/Arch:", format!("{}/{}", text("Os"), text("Arch"))),
        ("Context:", text("Context")),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, " {name:<18} {value}")?;
    }
    let Some(engine) = engine else { return Ok(()) };
    match engine.platform.name.as_str() {
        "" => writeln!(out, "\nServer:")?,
        name => writeln!(out, "\nServer: {name}")?,
    }
    for component in components(engine) {
        writeln!(out, " {}:", component.name)?;
        for (name, value) in details(&component) {
            writeln!(out, "  {:<17} {value}", format!("{name}:"))?;
        }
    }
    Ok(())
}

/// The engine's parts; an old engine has only itself.
fn components(engine: &EngineVersion) -> Vec<Component> {
    if !engine.components.is_empty() {
        return engine.components.clone();
    }
    let details = [
        ("ApiVersion", engine.api_version.clone()),
        ("MinAPIVersion", engine.min_api_version.clone()),
        ("GitCommit", engine.git_commit.clone()),
        ("Os", engine.os.clone()),
        ("Arch", engine.arch.clone()),
        ("BuildTime", engine.build_time.clone()),
        ("Experimental", engine.experimental.to_string()),
    ];
    let details = details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    vec![Component { name: "Engine".to_owned(), version: engine.version.clone(), details }]
}

/// What is told of a part, in Docker's order and words.
fn details(component: &Component) -> Vec<(String, String)> {
    let get = |name: &str| component.details.get(name).cloned().unwrap_or_default();
    let mut rows = vec![("Version".to_owned(), component.version.clone())];
    let is_engine = component.details.contains_key("ApiVersion");
    if !is_engine {
        rows.extend(component.details.iter().map(|(name, value)| (name.clone(), value.clone())));
        return rows;
    }
    let api = format!("{} (minimum version {})", get("ApiVersion"), get("MinAPIVersion"));
    for (name, value) in [
        ("API version", api),
        ("Go version", get("GoVersion")),
        ("Git commit", get("GitCommit")),
        ("Built", built(&get("BuildTime"))),
        ("OS/Arch", format!("{}/{}", get("Os"), get("Arch"))),
        ("Experimental", get("Experimental")),
    ] {
        if !value.is_empty() {
            rows.push((name.to_owned(), value));
        }
    }
    rows
}

/// A build time for people.
fn built(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => text.to_owned(),
    }
}
