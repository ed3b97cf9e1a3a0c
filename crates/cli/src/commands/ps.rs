//! `ps`: lists containers.

use std::collections::BTreeMap;
use std::io::Write;

use api_client::Filters;
use api_client::containers::ListOptions;
use api_types::container::{Port, Summary};
use oci::reference::Reference;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::format::{self, Column, FormatError, JSON, Listing, TABLE, ago, ellipsis, short_id};
use crate::template::Value;
use crate::ui::Ui;
use crate::units::decimal_size;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct PsArgs {
    all: bool,
    filter: Filters,
    format: String,
    last: Option<i64>,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    size: bool,
}

/// Help for `--format` of a list.
macro_rules! list_format_help {
    () => {
        "Print in another format:\n\
         'table':            a table with the usual columns (default)\n\
         'table TEMPLATE':   a table with the columns of a Go template\n\
         'json':             one JSON object a line\n\
         'TEMPLATE':         what a Go template makes of each"
    };
}
pub(crate) use list_format_help;

const FLAGS: &[Flag<PsArgs>] = &[
    flag!(PsArgs, all, 'a', "all", "Show stopped containers too"),
    flag!(PsArgs, filter, 'f', "filter", "Show only containers that fit, NAME=VALUE"),
    Flag { help: list_format_help!(), ..flag!(PsArgs, format, "format", "") },
    flag!(PsArgs, last, 'n', "last", "Show the last so many, stopped ones too (default -1)"),
    flag!(PsArgs, latest, 'l', "latest", "Show the last one, even if it is stopped"),
    flag!(PsArgs, no_trunc, "no-trunc", "Do not shorten anything"),
    flag!(PsArgs, quiet, 'q', "quiet", "Print IDs only"),
    flag!(PsArgs, size, 's', "size", "Show the sizes of the file systems"),
];

/// `ps`.
pub(crate) struct Ps;

impl Command for Ps {
    type Args = PsArgs;
    const FLAGS: Tables<PsArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "List containers";
    const ARITY: Arity = Arity::None;

    async fn run(args: PsArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        if args.quiet && !matches!(args.format.as_str(), "" | TABLE | "raw") {
            ui.tell("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        let wanted = match args.format.as_str() {
            "" if !args.quiet => context.config(ui).ps_format.clone(),
            format => format.to_owned(),
        };
        let last = args.last.unwrap_or(-1);
        let options = ListOptions {
            all: args.all || args.latest || last > 0,
            limit: if args.latest { 1 } else { last },
            size: args.size || format::uses(&LISTING, &wanted, "Size"),
            filters: args.filter,
        };
        // A template that cannot work is told before the engine is asked.
        format::check(&LISTING, &wanted).map_err(failure)?;
        let format = format(&wanted, args.quiet, args.size);
        let containers = context.engine(ui)?.list_containers(&options).await?;
        let shown = |container| Shown { container, trunc: !args.no_trunc };
        let text = format::render(&LISTING, &format, containers.into_iter().map(shown).collect())
            .map_err(failure)?;
        write!(ui.stdout(), "{text}")?;
        Ok(0)
    }
}

fn failure(error: FormatError) -> CommandError {
    CommandError::new(match error {
        FormatError::Parse(why) => format!("failed to parse template: {why}"),
        FormatError::Execute(why) => format!("failed to execute template: {why}"),
    })
}

/// The format that a word stands for.
pub(super) fn format(wanted: &str, quiet: bool, size: bool) -> String {
    match (wanted, quiet) {
        ("raw", true) => "container_id: {{.ID}}".to_owned(),
        (_, true) => "{{.ID}}".to_owned(),
        ("" | TABLE, false) => {
            let size = if size { "\t{{.Size}}" } else { "" };
            format!(
                "table {{{{.ID}}}}\t{{{{.Image}}}}\t{{{{.Command}}}}\t{{{{.RunningFor}}}}\t{{{{.Status}}}}\t{{{{.Ports}}}}\t{{{{.Names}}}}{size}"
            )
        }
        ("raw", false) => {
            let size = if size { "size: {{.Size}}\n" } else { "" };
            format!(
                "container_id: {{{{.ID}}}}\nimage: {{{{.Image}}}}\ncommand: {{{{.Command}}}}\n\
                 created_at: {{{{.CreatedAt}}}}\nstate: {{{{- pad .State 1 0}}}}\nstatus: {{{{- pad .Status 1 0}}}}\n\
                 names: {{{{.Names}}}}\nlabels: {{{{- pad .Labels 1 0}}}}\nports: {{{{- pad .Ports 1 0}}}}\n{size}"
            )
        }
        (JSON, false) => JSON.to_owned(),
        (custom, false) => custom.to_owned(),
    }
}

/// A listed container.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// As the engine told it.
    pub(super) container: Summary,
    /// Long texts are cut.
    pub(super) trunc: bool,
}

pub(super) static LISTING: Listing<Shown> = Listing {
    type_name: "*formatter.ContainerContext",
    columns: &[
        Column { name: "ID", header: "CONTAINER ID", value: |shown| Value::text(shown.id()) },
        Column { name: "Names", header: "NAMES", value: |shown| Value::text(shown.names()) },
        Column { name: "Image", header: "IMAGE", value: |shown| Value::text(shown.image()) },
        Column { name: "Command", header: "COMMAND", value: |shown| Value::text(shown.command()) },
        Column {
            name: "CreatedAt",
            header: "CREATED AT",
            value: |shown| Value::text(format::local_time(shown.container.created)),
        },
        Column {
            name: "RunningFor",
            header: "CREATED",
            value: |shown| Value::text(ago(shown.container.created)),
        },
        Column { name: "Ports", header: "PORTS", value: |shown| Value::text(ports(&shown.container.ports)) },
        Column { name: "State", header: "STATE", value: |shown| Value::text(shown.container.state.as_str()) },
        Column {
            name: "Status",
            header: "STATUS",
            value: |shown| Value::text(shown.container.status.as_str()),
        },
        Column { name: "Size", header: "SIZE", value: |shown| Value::text(shown.size()) },
        Column { name: "Labels", header: "LABELS", value: |shown| Value::text(shown.labels()) },
        Column { name: "Mounts", header: "MOUNTS", value: |shown| Value::text(shown.mounts()) },
        Column {
            name: "LocalVolumes",
            header: "LOCAL VOLUMES",
            value: |shown| Value::text(shown.local_volumes()),
        },
        Column { name: "Networks", header: "NETWORKS", value: |shown| Value::text(shown.networks()) },
        Column { name: "Platform", header: "PLATFORM", value: |shown| shown.platform() },
    ],
    label: Some(|shown, name| shown.container.labels.get(name).cloned().unwrap_or_default()),
};

impl Shown {
    fn id(&self) -> &str {
        if self.trunc { short_id(&self.container.id) } else { &self.container.id }
    }

    /// The container's own name; with everything shown also those that links give it.
    fn names(&self) -> String {
        let mut names = self.container.names.iter().map(|name| name.trim_start_matches('/'));
        if self.trunc {
            return names.find(|name| !name.contains('/')).unwrap_or_default().to_owned();
        }
        names.collect::<Vec<_>>().join(",")
    }

    fn image(&self) -> String {
        let image = self.container.image.as_str();
        if image.is_empty() {
            return "<no image>".to_owned();
        }
        if !self.trunc {
            return image.to_owned();
        }
        if short_id(&self.container.image_id) == short_id(image) {
            return short_id(image).to_owned();
        }
        // A digest is dropped, the tag stays.
        match image.parse::<Reference>() {
            Ok(reference) if reference.digest().is_some() => match reference.tag() {
                Some(tag) => format!("{}:{tag}", reference.familiar_name()),
                None => reference.familiar_name(),
            },
            Ok(reference) => reference.familiar(),
            Err(_) => image.to_owned(),
        }
    }

    fn command(&self) -> String {
        let command = &self.container.command;
        crate::flags::value::quoted(&if self.trunc { ellipsis(command, 20) } else { command.clone() })
    }

    fn size(&self) -> String {
        let writable = decimal_size(self.container.size_rw.unwrap_or(0), 3);
        match self.container.size_root_fs {
            Some(all) if all > 0 => format!("{writable} (virtual {})", decimal_size(all, 3)),
            _ => writable,
        }
    }

    fn labels(&self) -> String {
        let pairs = self.container.labels.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join(",")
    }

    fn mounts(&self) -> String {
        let name = |mount: &api_types::container::MountPoint| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            if self.trunc { ellipsis(name, 15) } else { name.clone() }
        };
        self.container.mounts.iter().map(name).collect::<Vec<_>>().join(",")
    }

    fn local_volumes(&self) -> String {
        self.container.mounts.iter().filter(|mount| mount.driver == "local").count().to_string()
    }

    fn networks(&self) -> String {
        self.container.network_settings.networks.keys().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    fn platform(&self) -> Value {
        Value::Nil
    }
}

/// Published ports, and the exposed ones in ranges: `0.0.0.0:80->8080/tcp, 90-91/tcp`.
fn ports(ports: &[Port]) -> String {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by_key(|port| (port.private_port, port.ip.clone(), port.public_port, port.kind.clone()));
    // Runs of equal ports by address and protocol, in the order of their first.
    let mut order: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, (u16, u16)> = BTreeMap::new();
    let mut result = Vec::new();
    let mut mappings = Vec::new();
    for port in sorted {
        let current = port.private_port;
        let mut key = port.kind.clone();
        if !port.ip.is_empty() {
            if port.public_port != current {
                let host = if port.ip.contains(':') { format!("[{}]", port.ip) } else { port.ip.clone() };
                mappings.push(format!("{host}:{}->{current}/{}", port.public_port, port.kind));
                continue;
            }
            key = format!("{}/{}", port.ip, port.kind);
        }
        match groups.get_mut(&key) {
            None => {
                order.push(key.clone());
                groups.insert(key, (current, current));
            }
            Some(group) if current == group.1 => {}
            Some(group) if current == group.1 + 1 => group.1 = current,
            Some(group) => {
                result.push(port_group(&key, *group));
                *group = (current, current);
            }
        }
    }
    result.extend(order.iter().map(|key| port_group(key, groups[key])));
    result.extend(mappings);
    result.join(", ")
}

fn port_group(key: &str, (first, last): (u16, u16)) -> String {
    let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match key.rsplit_once('/') {
        None => format!("{numbers}/{key}"),
        Some((address, protocol)) => {
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            format!("{host}:{numbers}->{numbers}/{protocol}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private: u16, public: u16, kind: &str) -> Port {
        Port { ip: ip.to_owned(), private_port: private, public_port: public, kind: kind.to_owned() }
    }

    #[test]
    fn ports_are_grouped() {
        for (list, want) in [
            (vec![], ""),
            (vec![port("", 80, 0, "tcp")], "80/tcp"),
            (
                vec![port("", 81, 0, "tcp"), port("", 80, 0, "tcp"), port("", 90, 0, "udp")],
                "80-81/tcp, 90/udp",
            ),
            (
                vec![port("0.0.0.0", 80, 8080, "tcp"), port("::", 80, 8080, "tcp")],
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (
                vec![port("0.0.0.0", 80, 80, "tcp"), port("0.0.0.0", 81, 81, "tcp")],
                "0.0.0.0:80-81->80-81/tcp",
            ),
            (vec![port("", 1, 0, "tcp"), port("", 3, 0, "tcp")], "1/tcp, 3/tcp"),
        ] {
            assert_eq!(ports(&list), want);
        }
    }

    #[test]
    fn long_things_are_cut_unless_asked_not_to() {
        let container = Summary {
            id: "0123456789abcdef".to_owned(),
            names: vec!["/other/alias".to_owned(), "/own".to_owned()],
            image: "docker.io/library/busybox:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
            command: "sh -c 'sleep 1000000'".to_owned(),
            ..Summary::default()
        };
        let mut shown = Shown { container, trunc: true };
        assert_eq!(
            (shown.id(), shown.names().as_str(), shown.image().as_str(), shown.command().as_str()),
            ("0123456789ab", "own", "busybox:1", "\"sh -c 'sleep 100000…\"")
        );
        shown.trunc = false;
        assert_eq!((shown.id(), shown.names().as_str()), ("0123456789abcdef", "other/alias,own"));
    }
}
