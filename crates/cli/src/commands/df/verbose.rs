//! `system df -v`: each image, container, volume and cache record.

use std::rc::Rc;

use api_types::container::Summary;
use api_types::image::ImageSummary;
use api_types::space::{BuildCache, DiskUsage, Volume};
use serde_json::{Value as Json, json};

use crate::commands::{images, ps};
use crate::error::CommandError;
use crate::format::{self, Column, FormatError, JSON, Listing, TABLE, ago};
use crate::template::value::Object;
use crate::template::{MissingKey, Template, Value};
use crate::units::decimal_size;

/// The whole output.
pub(super) fn show(usage: DiskUsage, format: &str) -> Result<String, CommandError> {
    let lists = |trunc| Lists::new(&usage, trunc);
    match format {
        "" | TABLE => lists(true).tables().map_err(FormatError::parsing_error),
        "raw" => lists(false).raw().map_err(FormatError::parsing_error),
        JSON => Ok(lists(false).to_json().to_string()),
        template => {
            // Not a list, so there is no head and no newline after it.
            let body = template.strip_prefix(TABLE).map_or(template, |body| body.trim_matches(' '));
            let body = body.replace("\\t", "\t").replace("\\n", "\n");
            let mut output = String::new();
            let template = Template::parse("", &body).map_err(CommandError::new)?;
            let dot = Value::Object(Rc::new(lists(false)));
            template.execute(&dot, MissingKey::NoValue, &mut output).map_err(CommandError::new)?;
            Ok(output)
        }
    }
}

/// The lines of each list.
#[derive(Debug)]
struct Lists {
    images: Vec<images::Row>,
    containers: Vec<ps::Shown>,
    volumes: Vec<Volume>,
    build_cache: Vec<Record>,
}

/// A record of the build cache.
#[derive(Debug, Clone, Default)]
struct Record {
    cache: BuildCache,
    trunc: bool,
}

impl Lists {
    fn new(usage: &DiskUsage, trunc: bool) -> Self {
        // An image stands here once, under its first name.
        let image = |image: &ImageSummary| images::rows(image, trunc, false).into_iter().next();
        let container = |container: &Summary| {
            // The image's bytes are counted with the image.
            let container = Summary { size_root_fs: None, ..container.clone() };
            ps::Shown { container, trunc }
        };
        let mut build_cache: Vec<Record> =
            usage.build_cache.iter().flatten().map(|cache| Record { cache: cache.clone(), trunc }).collect();
        build_cache.sort_by(|a, b| b.cache.last_used_at.cmp(&a.cache.last_used_at));
        Self {
            images: usage.images.iter().flatten().filter_map(image).collect(),
            containers: usage.containers.iter().flatten().map(container).collect(),
            volumes: usage.volumes.clone().unwrap_or_default(),
            build_cache,
        }
    }

    fn tables(self) -> Result<String, FormatError> {
        let cached: i64 = self
            .build_cache
            .iter()
            .filter(|record| !record.cache.shared)
            .map(|record| record.cache.size)
            .sum();
        Ok(format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
             Build cache usage: {}\n\n{}",
            format::render(&images::LISTING, IMAGES, self.images)?,
            format::render(&ps::LISTING, CONTAINERS, self.containers)?,
            format::render(&VOLUME_LISTING, VOLUMES, self.volumes)?,
            decimal_size(cached, 4),
            format::render(&CACHE_LISTING, BUILD_CACHE, self.build_cache)?,
        ))
    }

    fn raw(self) -> Result<String, FormatError> {
        let with_title = |title: &str, format: String| format!("type: {title}\n{format}");
        let images = with_title("Image", images::format("raw", false, true));
        let containers = with_title("Container", ps::format("raw", false, true));
        Ok([
            format::render(&images::LISTING, &images, self.images)?,
            format::render(&ps::LISTING, &containers, self.containers)?,
            format::render(&VOLUME_LISTING, RAW_VOLUME, self.volumes)?,
            format::render(&CACHE_LISTING, RAW_BUILD_CACHE, self.build_cache)?,
        ]
        .concat())
    }
}

impl Object for Lists {
    fn type_name(&self) -> &str {
        "*formatter.diskUsageContext"
    }

    fn member(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Images" => format::list(&images::LISTING, &self.images),
            "Containers" => format::list(&ps::LISTING, &self.containers),
            "Volumes" => format::list(&VOLUME_LISTING, &self.volumes),
            "BuildCache" => format::list(&CACHE_LISTING, &self.build_cache),
            _ => return None,
        })
    }

    fn to_json(&self) -> Json {
        let list = |name| self.member(name).map_or(Json::Null, |list| list.to_json());
        json!({
            "Images": list("Images"),
            "Containers": list("Containers"),
            "Volumes": list("Volumes"),
            "BuildCache": list("BuildCache"),
        })
    }
}

const IMAGES: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t\
                      {{.UniqueSize}}\t{{.Containers}}";
const CONTAINERS: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t\
                          {{.Status}}\t{{.Names}}";
const VOLUMES: &str = "table {{.Name}}\t{{.Links}}\t{{.Size}}";
const BUILD_CACHE: &str = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t\
                           {{.UsageCount}}\t{{.Shared}}";
const RAW_VOLUME: &str = "type: Volume\nname: {{.Name}}\nlinks: {{.Links}}\nsize: {{.Size}}\n";
const RAW_BUILD_CACHE: &str = "type: Build Cache\nid: {{.ID}}\nparent_id: {{.Parent}}\ncache_type: {{.CacheType}}\n\
                               description: {{.Description}}\ncreated_at: {{.CreatedAt}}\n\
                               created_since: {{.CreatedSince}}\nlast_used_at: {{.LastUsedAt}}\n\
                               last_used_since: {{.LastUsedSince}}\nusage_count: {{.UsageCount}}\n\
                               in_use: {{.InUse}}\nshared: {{.Shared}}\n";

static VOLUME_LISTING: Listing<Volume> = Listing {
    type_name: "*formatter.volumeContext",
    columns: &[
        Column { name: "Driver", header: "DRIVER", value: |volume| Value::text(volume.driver.as_str()) },
        Column { name: "Labels", header: "LABELS", value: |volume| Value::text(labels(volume)) },
        Column { name: "Links", header: "LINKS", value: |volume| Value::text(links(volume)) },
        Column {
            name: "Mountpoint",
            header: "MOUNTPOINT",
            value: |volume| Value::text(volume.mountpoint.as_str()),
        },
        Column { name: "Name", header: "VOLUME NAME", value: |volume| Value::text(volume.name.as_str()) },
        Column { name: "Scope", header: "SCOPE", value: |volume| Value::text(volume.scope.as_str()) },
        Column { name: "Size", header: "SIZE", value: |volume| Value::text(volume_size(volume)) },
    ],
    label: Some(|volume, name| {
        volume.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default()
    }),
};

fn labels(volume: &Volume) -> String {
    let pairs = volume.labels.iter().flatten().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

fn links(volume: &Volume) -> String {
    volume.usage_data.as_ref().map_or_else(|| "N/A".to_owned(), |usage| usage.ref_count.to_string())
}

fn volume_size(volume: &Volume) -> String {
    match volume.usage_data.as_ref().map(|usage| usage.size) {
        None | Some(-1) => "N/A".to_owned(),
        Some(bytes) => decimal_size(bytes, 4),
    }
}

static CACHE_LISTING: Listing<Record> = Listing {
    type_name: "*formatter.buildCacheContext",
    columns: &[
        Column { name: "ID", header: "CACHE ID", value: |record| Value::text(record.id()) },
        Column { name: "Parent", header: "PARENT", value: |record| Value::text(record.parents()) },
        Column {
            name: "CacheType",
            header: "CACHE TYPE",
            value: |record| Value::text(record.cache.kind.as_str()),
        },
        Column {
            name: "Description",
            header: "DESCRIPTION",
            value: |record| Value::text(record.cache.description.as_str()),
        },
        Column {
            name: "Size",
            header: "SIZE",
            value: |record| Value::text(decimal_size(record.cache.size, 3)),
        },
        Column {
            name: "CreatedAt",
            header: "CREATED AT",
            value: |record| Value::text(record.cache.created_at.as_str()),
        },
        Column {
            name: "CreatedSince",
            header: "CREATED",
            value: |record| Value::text(since(Some(record.cache.created_at.as_str()))),
        },
        Column {
            name: "LastUsedAt",
            header: "LAST USED AT",
            value: |record| Value::text(record.cache.last_used_at.as_deref().unwrap_or_default()),
        },
        Column {
            name: "LastUsedSince",
            header: "LAST USED",
            value: |record| Value::text(since(record.cache.last_used_at.as_deref())),
        },
        Column {
            name: "UsageCount",
            header: "USAGE",
            value: |record| Value::text(record.cache.usage_count.to_string()),
        },
        Column {
            name: "InUse",
            header: "IN USE",
            value: |record| Value::text(record.cache.in_use.to_string()),
        },
        Column {
            name: "Shared",
            header: "SHARED",
            value: |record| Value::text(record.cache.shared.to_string()),
        },
    ],
    label: None,
};

impl Record {
    /// Shortened, with a star when it is in use.
    fn id(&self) -> String {
        let id = self.cache.id.as_str();
        let id = if self.trunc { id.get(..12).unwrap_or(id) } else { id };
        if self.cache.in_use { format!("{id}*") } else { id.to_owned() }
    }

    fn parents(&self) -> String {
        let parents = self.cache.parents.as_deref().unwrap_or_default().join(", ");
        if self.trunc { parents.get(..12).unwrap_or(&parents).to_owned() } else { parents }
    }
}

fn since(time: Option<&str>) -> String {
    let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    time.map_or_else(String::new, |time| ago(time.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> DiskUsage {
        DiskUsage {
            layers_size: 7_165_908,
            images: Some(vec![ImageSummary {
                id: format!("sha256:{}", "a".repeat(64)),
                repo_tags: vec!["bb:2".to_owned(), "busybox:latest".to_owned()],
                containers: 2,
                size: 7_065_908,
                shared_size: 2_065_908,
                ..ImageSummary::default()
            }]),
            ..DiskUsage::default()
        }
    }

    #[test]
    fn every_list_has_its_table() {
        let want = "Images space usage:

REPOSITORY   TAG       IMAGE ID       CREATED   SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS
bb           2         aaaaaaaaaaaa             7.07MB    2.066MB       5MB           2

Containers space usage:

CONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE      CREATED   STATUS    NAMES

Local Volumes space usage:

VOLUME NAME   LINKS     SIZE

Build cache usage: 0B

CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED
";
        assert_eq!(show(usage(), "").unwrap(), want);
    }

    #[test]
    fn templates_work_on_the_lists() {
        let template =
            "{{len .Images}} {{range .Images}}{{.Repository}} {{.UniqueSize}}{{end}} {{json .Volumes}}";
        assert_eq!(show(usage(), template).unwrap(), "1 bb 5MB []");
        let error = "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.diskUsageContext";
        assert_eq!(show(usage(), "{{.Foo}}").unwrap_err().message, error);
        let json: Json = serde_json::from_str(&show(usage(), "json").unwrap()).unwrap();
        assert_eq!(json["Images"][0]["VirtualSize"], "7.066MB");
        assert_eq!(json["BuildCache"], json!([]));
    }
}
