//! `info`: what the engine is and has.

mod text;

use std::io::Write;

use api_client::ClientError;
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
pub(crate) struct InfoArgs {
    format: String,
}

const FLAGS: &[Flag<InfoArgs>] = &[Flag {
    help: "Print in another format:\n\
           'json':             JSON without white space\n\
           'TEMPLATE':         what a Go template makes of it",
    ..flag!(InfoArgs, format, 'f', "format", "")
}];

/// `info`.
pub(crate) struct Info;

impl Command for Info {
    type Args = InfoArgs;
    const FLAGS: Tables<InfoArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Show what the engine is and has";
    const ARITY: Arity = Arity::None;

    async fn run(args: InfoArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let format = if args.format == JSON { "{{json .}}" } else { &args.format };
        let template = Template::parse("", format);
        let template = template
            .map_err(|why| CommandError::new(format!("template parsing error: {why}")).with_code(64))?;
        let engine = context.engine(ui)?;
        let answer = engine.info_raw().await.and_then(|bytes| parse(&bytes));
        let (engine_info, failure) = match answer {
            Ok(info) => (Some(info), None),
            Err(error) => (None, Some(error)),
        };
        let client = client(context);
        if args.format.is_empty() {
            text::print(&client, engine_info.as_ref(), ui)?;
        } else {
            show(&template, client, engine_info, failure.as_ref(), ui)?;
        }
        ui.flush()?;
        match failure {
            None => Ok(0),
            Some(error) if args.format.is_empty() && !error.is_unreachable() => {
                ui.tell(&format!("ERROR: {error}"));
                Err(CommandError::new("errors pretty printing info"))
            }
            Some(error) => Err(error.into()),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Json, ClientError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ClientError::Decode { request: "GET /info".to_owned(), source })
}

/// The client's part.
fn client(context: &Context) -> Json {
    json!({
        "Debug": context.is_debug(),
        "Version": env!("CARGO_PKG_VERSION"),
        "DefaultAPIVersion": api_types::MAX_API_VERSION,
        "GitCommit": option_env!("CORTEN_COMMIT").unwrap_or_default(),
        "GoVersion": "",
        "Os": std::env::consts::OS,
        "Arch": oci::platform::Platform::host().architecture,
        "BuildTime": "",
        "Context": "default",
        "Plugins": [],
        "Warnings": null,
    })
}

fn show(
    template: &Template,
    client: Json,
    engine: Option<Json>,
    failure: Option<&ClientError>,
    ui: &mut Ui,
) -> Result<(), CommandError> {
    let mut document = engine.unwrap_or_else(|| json!({}));
    document["ClientInfo"] = client;
    if let Some(error) = failure {
        document["ServerErrors"] = json!([error.to_string()]);
    }
    let mut text = String::new();
    let run =
        template.execute(&Value::document(document, Type::Struct(&INFO)), MissingKey::NoValue, &mut text);
    writeln!(ui.stdout(), "{text}")?;
    run.map_err(CommandError::new)
}

const TEXTS: Type = Type::List(&Type::Text);
const PAIRS: Type = Type::List(&TEXTS);

const fn f(name: &'static str, kind: Type) -> Field {
    Field::new(name, kind)
}

static INFO: Struct = Struct {
    name: "system.dockerInfo",
    fields: &[
        f("ID", Type::Text),
        f("Containers", Type::Int),
        f("ContainersRunning", Type::Int),
        f("ContainersPaused", Type::Int),
        f("ContainersStopped", Type::Int),
        f("Images", Type::Int),
        f("Driver", Type::Text),
        f("DriverStatus", PAIRS),
        f("SystemStatus", PAIRS),
        f("Plugins", Type::Struct(&PLUGINS)),
        f("MemoryLimit", Type::Bool),
        f("SwapLimit", Type::Bool),
        f("KernelMemory", Type::Bool),
        f("KernelMemoryTCP", Type::Bool),
        Field::renamed("CPUCfsPeriod", "CpuCfsPeriod", Type::Bool),
        Field::renamed("CPUCfsQuota", "CpuCfsQuota", Type::Bool),
        f("CPUShares", Type::Bool),
        f("CPUSet", Type::Bool),
        f("PidsLimit", Type::Bool),
        f("IPv4Forwarding", Type::Bool),
        f("Debug", Type::Bool),
        f("NFd", Type::Int),
        f("OomKillDisable", Type::Bool),
        f("NGoroutines", Type::Int),
        f("SystemTime", Type::Text),
        f("LoggingDriver", Type::Text),
        f("CgroupDriver", Type::Text),
        f("CgroupVersion", Type::Text),
        f("NEventsListener", Type::Int),
        f("KernelVersion", Type::Text),
        f("OperatingSystem", Type::Text),
        f("OSVersion", Type::Text),
        f("OSType", Type::Text),
        f("Architecture", Type::Text),
        f("IndexServerAddress", Type::Text),
        f("RegistryConfig", Type::Pointer(&Type::Any)),
        f("NCPU", Type::Int),
        f("MemTotal", Type::Int),
        f("GenericResources", Type::List(&Type::Any)),
        f("DockerRootDir", Type::Text),
        Field::renamed("HTTPProxy", "HttpProxy", Type::Text),
        Field::renamed("HTTPSProxy", "HttpsProxy", Type::Text),
        f("NoProxy", Type::Text),
        f("Name", Type::Text),
        f("Labels", TEXTS),
        f("ExperimentalBuild", Type::Bool),
        f("ServerVersion", Type::Text),
        f("Runtimes", Type::Map(&Type::Any)),
        f("DefaultRuntime", Type::Text),
        f("Swarm", Type::Struct(&SWARM)),
        f("LiveRestoreEnabled", Type::Bool),
        f("Isolation", Type::Text),
        f("InitBinary", Type::Text),
        f("ContainerdCommit", Type::Struct(&COMMIT)),
        f("RuncCommit", Type::Struct(&COMMIT)),
        f("InitCommit", Type::Struct(&COMMIT)),
        f("SecurityOptions", TEXTS),
        f("ProductLicense", Type::Text),
        f("DefaultAddressPools", Type::List(&Type::Any)),
        f("FirewallBackend", Type::Pointer(&Type::Any)),
        f("CDISpecDirs", TEXTS),
        f("Containerd", Type::Pointer(&Type::Any)),
        f("Warnings", TEXTS),
        f("ServerErrors", TEXTS),
        f("ClientInfo", Type::Pointer(&Type::Struct(&CLIENT_INFO))),
        f("ClientErrors", TEXTS),
    ],
};

static PLUGINS: Struct = Struct {
    name: "system.PluginsInfo",
    fields: &[f("Volume", TEXTS), f("Network", TEXTS), f("Authorization", TEXTS), f("Log", TEXTS)],
};

static SWARM: Struct = Struct {
    name: "swarm.Info",
    fields: &[
        f("NodeID", Type::Text),
        f("NodeAddr", Type::Text),
        f("LocalNodeState", Type::Text),
        f("ControlAvailable", Type::Bool),
        f("Error", Type::Text),
        f("RemoteManagers", Type::List(&Type::Any)),
        f("Nodes", Type::Int),
        f("Managers", Type::Int),
        f("Cluster", Type::Pointer(&Type::Any)),
        f("Warnings", TEXTS),
    ],
};

static COMMIT: Struct = Struct { name: "system.Commit", fields: &[f("ID", Type::Text)] };

static CLIENT_INFO: Struct = Struct {
    name: "system.clientInfo",
    fields: &[
        f("Debug", Type::Bool),
        f("Version", Type::Text),
        Field::renamed("APIVersion", "ApiVersion", Type::Text),
        f("DefaultAPIVersion", Type::Text),
        f("GitCommit", Type::Text),
        f("GoVersion", Type::Text),
        f("Os", Type::Text),
        f("Arch", Type::Text),
        f("BuildTime", Type::Text),
        f("Context", Type::Text),
        f("Plugins", Type::List(&Type::Any)),
        f("Warnings", TEXTS),
    ],
};
