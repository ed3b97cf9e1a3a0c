//! Containers as `ps` lists them.

use std::collections::HashSet;
use std::sync::Arc;

use api_types::container::{Summary, SummaryHostConfig, SummaryNetworks};
use regex_lite::Regex;

use crate::error::{EngineError, ErrorKind, Result};
use crate::events::now;
use crate::health::Status;
use crate::inspect;
use crate::mounts::mount_points;
use crate::params::{LabelFilter, ListQuery};
use crate::record::Record;
use crate::shared::Shared;
use crate::state::State;
use crate::time::human_duration;

const KNOWN_FILTERS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    // Tells containers of Windows apart; here all are alike.
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// Lists containers, the newest first. With `size`, walks their writable layers, so it blocks.
pub(crate) fn list(shared: &Shared, query: &ListQuery) -> Result<Vec<Summary>> {
    let filter = Filter::new(shared, query)?;
    let mut records: Vec<Arc<Record>> =
        shared.registry.all().iter().map(|container| container.record()).collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.created));
    let all = query.all || query.limit.is_some() || filter.looks_at_state();
    let limit = query.limit.unwrap_or(usize::MAX);
    Ok(records
        .iter()
        .filter(|record| all || record.state.run().is_some() || matches!(record.state, State::Restarting(_)))
        .filter(|record| filter.matches(record))
        .take(limit)
        .map(|record| summary(shared, record, query.size))
        .collect())
}

fn summary(shared: &Shared, record: &Record, size: bool) -> Summary {
    let (path, args) = record.command();
    let (size_rw, size_root_fs) = if size { inspect::sizes(shared, record) } else { (None, None) };
    Summary {
        id: record.id.clone(),
        names: vec![format!("/{}", record.name)],
        image: shown_image(shared, record),
        image_id: record.image_id.clone(),
        command: std::iter::once(path).chain(args).map(|word| quote(&word)).collect::<Vec<_>>().join(" "),
        created: record.created / 1_000_000_000,
        ports: Vec::new(),
        size_rw,
        size_root_fs,
        labels: record.config.labels.clone().unwrap_or_default(),
        state: record.state.status().into(),
        status: status(record),
        host_config: SummaryHostConfig {
            network_mode: record.host_config.network_mode.clone(),
            annotations: record.host_config.annotations.clone(),
        },
        network_settings: SummaryNetworks { networks: inspect::networks(record) },
        mounts: mount_points(&record.mounts),
    }
}

/// The image's name as the user gave it, while it still means this image; its id otherwise.
fn shown_image(shared: &Shared, record: &Record) -> String {
    match shared.images.look_up(&record.image) {
        Ok(image) if image.id.to_string() == record.image_id => record.image.clone(),
        _ => record.image_id.clone(),
    }
}

/// Arguments with blanks are quoted, as Docker does.
fn quote(word: &str) -> String {
    if word.contains(' ') { format!("'{word}'") } else { word.to_owned() }
}

/// `Up 3 minutes`, `Exited (3) 2 hours ago`.
fn status(record: &Record) -> String {
    let since = |at: i64| human_duration((now() - at).max(0) / 1_000_000_000);
    match &record.state {
        State::Created { .. } => "Created".to_owned(),
        State::Running(run) => match record.health.as_ref().map(|health| health.status) {
            None => format!("Up {}", since(run.started_at)),
            Some(Status::Starting) => format!("Up {} (health: starting)", since(run.started_at)),
            Some(status) => format!("Up {} ({})", since(run.started_at), status.word()),
        },
        State::Paused(run) => format!("Up {} (Paused)", since(run.started_at)),
        State::Restarting(ended) => {
            format!("Restarting ({}) {} ago", ended.exit_code, since(ended.finished_at))
        }
        State::Exited(ended) => {
            let text = format!("Exited ({}) {} ago", ended.exit_code, since(ended.finished_at));
            match &ended.oom {
                Some(oom) => format!("{text} ({})", oom.note()),
                None => text,
            }
        }
    }
}

/// The filters of one query, checked and compiled.
struct Filter<'a> {
    query: &'a ListQuery,
    names: Vec<Regex>,
    ids: Vec<Regex>,
    exited: Vec<i32>,
    /// Ids of the images asked for, and of all that were made from them.
    ancestors: HashSet<String>,
    expose: Vec<PortFilter>,
    labels: Vec<LabelFilter>,
    before: Option<i64>,
    since: Option<i64>,
}

impl<'a> Filter<'a> {
    fn new(shared: &Shared, query: &'a ListQuery) -> Result<Self> {
        let filters = &query.filters.0;
        if let Some(name) = filters.keys().find(|name| !KNOWN_FILTERS.contains(&name.as_str())) {
            return Err(EngineError::invalid(format!("invalid filter '{name}'")));
        }
        let values = |name: &str| filters.get(name).map(Vec::as_slice).unwrap_or_default();
        let patterns = |name: &str| -> Vec<Regex> {
            // A value that is no pattern matches nothing, as in Docker.
            values(name).iter().filter_map(|value| Regex::new(value).ok()).collect()
        };
        let exited = values("exited")
            .iter()
            .map(|code| {
                code.parse::<i32>().map_err(|_| {
                    EngineError::invalid(format!(
                        "invalid filter 'exited={code}': strconv.Atoi: parsing {code:?}: invalid syntax"
                    ))
                })
            })
            .collect::<Result<_>>()?;
        for state in values("status") {
            const STATES: [&str; 7] =
                ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
            if !STATES.contains(&state.as_str()) {
                return Err(EngineError::invalid(format!(
                    "invalid filter 'status={state}': invalid value for state ({state}): must be one of {}",
                    STATES.join(", ")
                )));
            }
        }
        if let Some(task) =
            values("is-task").iter().find(|task| !["true", "false", "1", "0"].contains(&task.as_str()))
        {
            return Err(EngineError::invalid(format!("invalid filter 'is-task=[{task}]'")));
        }
        let ports = |name: &str| -> Result<Vec<PortFilter>> {
            values(name).iter().map(|value| PortFilter::parse(name, value)).collect()
        };
        // Nothing is published in this version, so every such filter finds nothing; but a wrong one is told.
        ports("publish")?;
        for health in values("health") {
            if !["none", "starting", "healthy", "unhealthy"].contains(&health.as_str()) {
                return Err(EngineError::invalid(format!(
                    "invalid filter 'health={health}': invalid value for health ({health}): must be one of none, starting, healthy, unhealthy"
                )));
            }
        }
        let moment = |name: &str| -> Result<Option<i64>> {
            values(name)
                .first()
                .map(|name| shared.registry.find(name).map(|c| c.record().created))
                .transpose()
        };
        Ok(Self {
            query,
            names: patterns("name"),
            ids: patterns("id"),
            exited,
            ancestors: descendants(&shared.images, values("ancestor")),
            expose: ports("expose")?,
            labels: values("label").iter().map(|text| LabelFilter::parse(text)).collect(),
            before: moment("before")?,
            since: moment("since")?,
        })
    }

    fn values(&self, name: &str) -> &[String] {
        self.query.filters.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// `status` looks at containers that do not run; `exited` does only with `all`, as in Docker.
    fn looks_at_state(&self) -> bool {
        !self.values("status").is_empty()
    }

    fn matches(&self, record: &Record) -> bool {
        let any = |name: &str, test: &dyn Fn(&str) -> bool| {
            let values = self.values(name);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let slashed = format!("/{}", record.name);
        self.labels.iter().all(|label| label.matches(record.config.labels.as_ref()))
            && (self.values("name").is_empty()
                || self.names.iter().any(|name| name.is_match(&slashed) || name.is_match(&record.name)))
            && (self.values("id").is_empty() || self.ids.iter().any(|id| id.is_match(&record.id)))
            && (self.exited.is_empty()
                || matches!(&record.state, State::Exited(ended) if self.exited.contains(&ended.exit_code)))
            && any("status", &|value| record.state.status() == value)
            && (self.values("ancestor").is_empty() || self.ancestors.contains(&record.image_id))
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && any("network", &|value| inspect::networks(record).contains_key(value))
            && any("volume", &|value| {
                record.mounts.iter().any(|mount| {
                    mount.destination == value
                        || matches!(&mount.what, crate::mounts::MountSource::Bind { source, .. } if source.as_os_str() == value)
                })
            })
            && any("health", &|value| {
                value == record.health.as_ref().map_or("none", |health| health.status.word())
            })
            && any("is-task", &|value| ["false", "0"].contains(&value))
            && any("publish", &|_| false)
            && (self.expose.is_empty()
                || record
                    .config
                    .exposed_ports
                    .iter()
                    .flatten()
                    .any(|(port, _)| self.expose.iter().any(|wanted| wanted.matches(port))))
    }
}

/// A port or a range of them, `80`, `8000-8010/udp`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PortFilter {
    first: u16,
    last: u16,
    protocol: String,
}

impl PortFilter {
    fn parse(filter: &str, text: &str) -> Result<Self> {
        if text.contains(':') {
            return Err(EngineError::invalid(format!(
                "filter for '{filter}' should not contain ':': {text}"
            )));
        }
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            text.parse::<u16>().map_err(|error| {
                let range = *error.kind() == std::num::IntErrorKind::PosOverflow;
                let why = if range { "value out of range" } else { "invalid syntax" };
                format!("strconv.ParseUint: parsing {text:?}: {why}")
            })
        };
        let bounds = number(first).and_then(|first| Ok((first, number(last)?)));
        let (first, last) = bounds
            .and_then(|(first, last)| {
                if first <= last {
                    Ok((first, last))
                } else {
                    Err(format!("Invalid range specified for the Port: {range}"))
                }
            })
            .map_err(|why| {
                let message = format!("error while looking up for {filter} {text}: {why}");
                EngineError::new(ErrorKind::Unclassified, message)
            })?;
        Ok(Self { first, last, protocol: protocol.to_owned() })
    }

    /// Whether `port`, `80/tcp`, is one of them.
    fn matches(&self, port: &str) -> bool {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        protocol == self.protocol
            && number.parse().is_ok_and(|number: u16| (self.first..=self.last).contains(&number))
    }
}

/// Ids of the images of these names, and of all that were made from them.
fn descendants(images: &images::Images, names: &[String]) -> HashSet<String> {
    let mut found = HashSet::new();
    // A name that nothing has is nobody's ancestor.
    let mut open: Vec<images::ImageId> =
        names.iter().filter_map(|name| images.look_up(name).ok()).map(|image| image.id.clone()).collect();
    while let Some(id) = open.pop() {
        if found.insert(id.to_string()) {
            open.extend(images.children(&id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_single_or_in_ranges() {
        for (filter, port, want) in [
            ("80", "80/tcp", true),
            ("80", "80/udp", false),
            ("80/udp", "80/udp", true),
            ("79-85", "80/tcp", true),
            ("81-85", "80/tcp", false),
        ] {
            assert_eq!(PortFilter::parse("expose", filter).unwrap().matches(port), want, "{filter} {port}");
        }
        for (filter, want) in [
            ("x", "error while looking up for expose x: strconv.ParseUint: parsing \"x\": invalid syntax"),
            (
                "80-x",
                "error while looking up for expose 80-x: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            ("9-8", "error while looking up for expose 9-8: Invalid range specified for the Port: 9-8"),
            ("1:2", "filter for 'expose' should not contain ':': 1:2"),
        ] {
            assert_eq!(PortFilter::parse("expose", filter).unwrap_err().message(), want);
        }
    }
}
