//! `system df`: what takes space.

mod verbose;

use std::io::Write;

use api_types::space::DiskUsage;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::{Flag, Tables, flag};
use crate::format::{self, Column, FormatError, Listing, TABLE};
use crate::template::Value;
use crate::ui::Ui;
use crate::units::decimal_size;

use super::ps::list_format_help;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct DfArgs {
    format: String,
    verbose: bool,
}

const FLAGS: &[Flag<DfArgs>] = &[
    Flag { help: list_format_help!(), ..flag!(DfArgs, format, "format", "") },
    flag!(DfArgs, verbose, 'v', "verbose", "Show each image, container, volume and cache record"),
];

/// `system df`.
pub(crate) struct Df;

impl Command for Df {
    type Args = DfArgs;
    const FLAGS: Tables<DfArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Show what takes space on disk";
    const ARITY: Arity = Arity::None;

    async fn run(args: DfArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let usage = context.engine(ui)?.disk_usage().await?;
        let text = match (args.verbose, args.format.as_str()) {
            (true, format) => verbose::show(usage, format)?,
            (false, format) => {
                let rows = Vec::from(summary(&usage));
                format::render(&LISTING, wanted(format), rows).map_err(FormatError::parsing_error)?
            }
        };
        write!(ui.stdout(), "{text}")?;
        Ok(0)
    }
}

/// The format that a word stands for.
fn wanted(format: &str) -> &str {
    match format {
        "" | TABLE => "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
        "raw" => {
            "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\n\
             reclaimable: {{.Reclaimable}}\n"
        }
        format => format,
    }
}

/// One kind of objects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    kind: &'static str,
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
    /// Show what part of all it is.
    percent: bool,
}

static LISTING: Listing<Row> = Listing {
    type_name: "*formatter.diskUsageImagesContext",
    columns: &[
        Column { name: "Type", header: "TYPE", value: |row| Value::text(row.kind) },
        Column { name: "TotalCount", header: "TOTAL", value: |row| Value::text(row.total.to_string()) },
        Column { name: "Active", header: "ACTIVE", value: |row| Value::text(row.active.to_string()) },
        Column { name: "Size", header: "SIZE", value: |row| Value::text(decimal_size(row.size, 4)) },
        Column { name: "Reclaimable", header: "RECLAIMABLE", value: |row| Value::text(row.reclaimable()) },
    ],
    label: None,
};

impl Row {
    fn reclaimable(&self) -> String {
        let size = decimal_size(self.reclaimable, 4);
        match self.size {
            total if self.percent && total > 0 => format!("{size} ({}%)", self.reclaimable * 100 / total),
            _ => size,
        }
    }
}

fn summary(usage: &DiskUsage) -> [Row; 4] {
    let images = usage.images.as_deref().unwrap_or_default();
    let used = images.iter().filter(|image| image.containers > 0 && image.shared_size != -1);
    let used: i64 = used.map(|image| image.size - image.shared_size).sum();
    let containers = usage.containers.as_deref().unwrap_or_default();
    let runs = |state: &str| ["running", "paused", "restarting"].contains(&state);
    let own = |active: Option<bool>| -> i64 {
        let chosen = containers
            .iter()
            .filter(|container| active.is_none_or(|active| active == runs(&container.state)));
        chosen.map(|container| container.size_rw.unwrap_or(0)).sum()
    };
    let volumes = usage.volumes.as_deref().unwrap_or_default();
    let volume_size = |unused: bool| -> i64 {
        let known = volumes.iter().filter_map(|volume| volume.usage_data.as_ref());
        known
            .filter(|usage| usage.size != -1 && !(unused && usage.ref_count != 0))
            .map(|usage| usage.size)
            .sum()
    };
    let used_volumes =
        volumes.iter().filter(|volume| volume.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0));
    let cache = usage.build_cache.as_deref().unwrap_or_default();
    let cached = |unused: bool| -> i64 {
        let own = cache.iter().filter(|record| !(record.shared || unused && record.in_use));
        own.map(|record| record.size).sum()
    };
    [
        Row {
            kind: "Images",
            total: images.len(),
            active: images.iter().filter(|image| image.containers > 0).count(),
            size: usage.layers_size,
            reclaimable: usage.layers_size - used,
            percent: true,
        },
        Row {
            kind: "Containers",
            total: containers.len(),
            active: containers.iter().filter(|container| runs(&container.state)).count(),
            size: own(None),
            reclaimable: own(Some(false)),
            percent: true,
        },
        Row {
            kind: "Local Volumes",
            total: volumes.len(),
            active: used_volumes.count(),
            size: volume_size(false),
            reclaimable: volume_size(true),
            percent: true,
        },
        Row {
            kind: "Build Cache",
            total: cache.len(),
            active: cache.iter().filter(|record| record.in_use).count(),
            size: cached(false),
            reclaimable: cached(true),
            percent: false,
        },
    ]
}

#[cfg(test)]
mod tests {
    use api_types::container::Summary;
    use api_types::image::ImageSummary;
    use api_types::space::{BuildCache, Volume, VolumeUsage};

    use super::*;

    #[test]
    fn what_nobody_uses_can_be_reclaimed() {
        let image = |containers, size, shared_size| ImageSummary {
            containers,
            size,
            shared_size,
            ..ImageSummary::default()
        };
        let container = |state: &str, size_rw| Summary { state: state.into(), size_rw, ..Summary::default() };
        let volume = |ref_count, size| Volume {
            usage_data: Some(VolumeUsage { ref_count, size }),
            ..Volume::default()
        };
        let record = |in_use, shared| BuildCache { in_use, shared, size: 10, ..BuildCache::default() };
        let usage = DiskUsage {
            layers_size: 1000,
            images: Some(vec![image(1, 500, 100), image(0, 600, 100)]),
            containers: Some(vec![
                container("running", Some(300)),
                container("exited", Some(100)),
                container("created", None),
            ]),
            volumes: Some(vec![volume(1, 70), volume(0, 30), volume(0, -1)]),
            build_cache: Some(vec![record(true, false), record(false, false), record(false, true)]),
        };
        let text = format::render(&LISTING, wanted(""), Vec::from(summary(&usage))).unwrap();
        let want = "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
Images          2         1         1kB       600B (60%)
Containers      3         1         400B      100B (25%)
Local Volumes   3         1         100B      30B (30%)
Build Cache     3         1         20B       10B
";
        assert_eq!(text, want);
    }

    #[test]
    fn nothing_has_no_part_of_nothing() {
        let rows = Vec::from(summary(&DiskUsage::default()));
        let text = format::render(&LISTING, "{{.Type}} {{.Reclaimable}}", rows).unwrap();
        assert_eq!(text, "Images 0B\nContainers 0B\nLocal Volumes 0B\nBuild Cache 0B\n");
    }
}
