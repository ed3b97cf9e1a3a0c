//! `images`: lists images.

use std::io::Write;

use api_client::Filters;
use api_types::image::ImageSummary;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::{Flag, Tables, flag};
use crate::format::{self, Column, FormatError, Listing, TABLE, ago, short_id};
use crate::template::Value;
use crate::ui::Ui;
use crate::units::decimal_size;

use super::ps::list_format_help;

/// Stands where there is no name, tag or digest.
const NONE: &str = "<none>";

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct ImagesArgs {
    all: bool,
    digests: bool,
    filter: Filters,
    format: String,
    no_trunc: bool,
    quiet: bool,
}

const FLAGS: &[Flag<ImagesArgs>] = &[
    flag!(ImagesArgs, all, 'a', "all", "Show intermediate images too"),
    flag!(ImagesArgs, digests, "digests", "Show digests"),
    flag!(ImagesArgs, filter, 'f', "filter", "Show only images that fit, NAME=VALUE"),
    Flag { help: list_format_help!(), ..flag!(ImagesArgs, format, "format", "") },
    flag!(ImagesArgs, no_trunc, "no-trunc", "Do not shorten anything"),
    flag!(ImagesArgs, quiet, 'q', "quiet", "Print IDs only"),
];

/// `images`.
pub(crate) struct Images;

impl Command for Images {
    type Args = ImagesArgs;
    const FLAGS: Tables<ImagesArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] [REPOSITORY[:TAG]]";
    const ABOUT: &'static str = "List images";
    const ARITY: Arity = Arity::AtMost(1);

    async fn run(args: ImagesArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let mut filters = args.filter;
        if let Some(name) = operands.first() {
            filters.add("reference", name);
        }
        let wanted = match args.format.as_str() {
            "" if !args.quiet => match context.config(ui).images_format.as_str() {
                "" => TABLE.to_owned(),
                format => format.to_owned(),
            },
            format => format.to_owned(),
        };
        let format = format(&wanted, args.quiet, args.digests);
        let images = context.engine(ui)?.list_images(args.all, &filters).await?;
        let with_digests = args.digests || format::uses(&LISTING, &format, "Digest");
        let rows = images.iter().flat_map(|image| rows(image, !args.no_trunc, with_digests)).collect();
        let text = format::render(&LISTING, &format, rows).map_err(FormatError::parsing_error)?;
        write!(ui.stdout(), "{text}")?;
        Ok(0)
    }
}

pub(super) fn format(wanted: &str, quiet: bool, digests: bool) -> String {
    match (wanted, quiet) {
        (TABLE | "", true) => "{{.ID}}".to_owned(),
        ("raw", true) => "image_id: {{.ID}}".to_owned(),
        (TABLE | "", false) => {
            let digest = if digests { "{{.Digest}}\t" } else { "" };
            format!(
                "table {{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{{{{if .CreatedSince }}}}{{{{.CreatedSince}}}}{{{{else}}}}N/A{{{{end}}}}\t{{{{.Size}}}}"
            )
        }
        ("raw", false) => {
            let digest = if digests { "digest: {{.Digest}}\n" } else { "" };
            format!(
                "repository: {{{{.Repository}}}}\ntag: {{{{.Tag}}}}\n{digest}image_id: {{{{.ID}}}}\n\
                 created_at: {{{{.CreatedAt}}}}\nvirtual_size: {{{{.Size}}}}\n"
            )
        }
        (custom, _) => custom.to_owned(),
    }
}

/// One line of the list: an image under one of its names.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    image: ImageSummary,
    repository: String,
    tag: String,
    digest: String,
    trunc: bool,
}

pub(super) static LISTING: Listing<Row> = Listing {
    type_name: "*formatter.imageContext",
    columns: &[
        Column { name: "ID", header: "IMAGE ID", value: |row| Value::text(row.id()) },
        Column {
            name: "Repository",
            header: "REPOSITORY",
            value: |row| Value::text(row.repository.as_str()),
        },
        Column { name: "Tag", header: "TAG", value: |row| Value::text(row.tag.as_str()) },
        Column { name: "Digest", header: "DIGEST", value: |row| Value::text(row.digest.as_str()) },
        Column { name: "CreatedSince", header: "CREATED", value: |row| Value::text(row.created_since()) },
        Column { name: "CreatedAt", header: "CREATED AT", value: |row| Value::text(row.created_at()) },
        Column { name: "Size", header: "SIZE", value: |row| Value::text(decimal_size(row.image.size, 3)) },
        Column {
            name: "Containers",
            header: "CONTAINERS",
            value: |row| Value::text(count(row.image.containers)),
        },
        Column {
            name: "VirtualSize",
            header: "SIZE",
            value: |row| Value::text(decimal_size(row.image.size, 4)),
        },
        Column {
            name: "SharedSize",
            header: "SHARED SIZE",
            value: |row| Value::text(size(row.image.shared_size)),
        },
        Column { name: "UniqueSize", header: "UNIQUE SIZE", value: |row| Value::text(row.unique_size()) },
    ],
    label: None,
};

impl Row {
    fn id(&self) -> &str {
        if self.trunc { short_id(&self.image.id) } else { &self.image.id }
    }

    fn created_since(&self) -> String {
        if self.image.created <= 0 { String::new() } else { ago(self.image.created) }
    }

    fn created_at(&self) -> String {
        format::local_time(self.image.created)
    }

    fn unique_size(&self) -> String {
        match self.image.shared_size {
            -1 => "N/A".to_owned(),
            shared => decimal_size(self.image.size - shared, 4),
        }
    }
}

fn count(number: i64) -> String {
    if number == -1 { "N/A".to_owned() } else { number.to_string() }
}

fn size(bytes: i64) -> String {
    if bytes == -1 { "N/A".to_owned() } else { decimal_size(bytes, 4) }
}

/// The lines of an image: one for each tag, with digests one for each pair of both.
pub(super) fn rows(image: &ImageSummary, trunc: bool, with_digests: bool) -> Vec<Row> {
    let row = |repository: &str, tag: &str, digest: &str| Row {
        image: image.clone(),
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
        trunc,
    };
    let tags = image.repo_tags.iter().filter(|tag| *tag != "<none>:<none>");
    let tags: Vec<(&str, &str)> = tags.filter_map(|tag| tag.rsplit_once(':')).collect();
    let digests = image.repo_digests.iter().filter(|digest| *digest != "<none>@<none>");
    let digests: Vec<(&str, &str)> = digests.filter_map(|digest| digest.split_once('@')).collect();
    if tags.is_empty() && digests.is_empty() {
        return vec![row(NONE, NONE, NONE)];
    }
    let mut rows = Vec::new();
    for (repository, tag) in &tags {
        let own: Vec<&str> =
            digests.iter().filter(|(name, _)| name == repository).map(|(_, digest)| *digest).collect();
        match with_digests && !own.is_empty() {
            true => rows.extend(own.iter().map(|digest| row(repository, tag, digest))),
            false => rows.push(row(repository, tag, NONE)),
        }
    }
    let mut untagged: Vec<&(&str, &str)> =
        digests.iter().filter(|(name, _)| !tags.iter().any(|(repository, _)| repository == name)).collect();
    if !with_digests {
        untagged.dedup_by_key(|(name, _)| *name);
    }
    for (repository, digest) in untagged {
        rows.push(row(repository, NONE, if with_digests { digest } else { NONE }));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tags: &[&str], digests: &[&str], with_digests: bool) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let image =
            ImageSummary { repo_tags: owned(tags), repo_digests: owned(digests), ..ImageSummary::default() };
        rows(&image, true, with_digests)
            .iter()
            .map(|row| format!("{} {} {}", row.repository, row.tag, row.digest))
            .collect()
    }

    #[test]
    fn an_image_has_a_line_for_each_name() {
        assert_eq!(names(&[], &[], false), ["<none> <none> <none>"]);
        assert_eq!(names(&["a:1", "r:5000/b:2"], &[], false), ["a 1 <none>", "r:5000/b 2 <none>"]);
        assert_eq!(names(&["a:1"], &["a@d1", "a@d2"], true), ["a 1 d1", "a 1 d2"]);
        assert_eq!(names(&["a:1"], &["a@d1"], false), ["a 1 <none>"]);
        assert_eq!(names(&[], &["a@d1"], false), ["a <none> <none>"]);
        assert_eq!(names(&["a:1"], &["b@d1"], true), ["a 1 <none>", "b <none> d1"]);
    }
}
