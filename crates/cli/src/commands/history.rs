//! `history`: shows the steps that made an image.

use std::io::Write;

use api_types::image::HistoryItem;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::{Flag, Tables, flag};
use crate::format::{self, Column, FormatError, Listing, TABLE, ago, ellipsis, short_id};
use crate::template::Value;
use crate::ui::Ui;
use crate::units::decimal_size;

use super::ps::list_format_help;
use super::pull::platform_json;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct HistoryArgs {
    format: String,
    human: Option<bool>,
    no_trunc: bool,
    platform: String,
    quiet: bool,
}

const FLAGS: &[Flag<HistoryArgs>] = &[
    Flag { help: list_format_help!(), ..flag!(HistoryArgs, format, "format", "") },
    flag!(HistoryArgs, human, 'H', "human", "Print sizes and dates for people (default true)"),
    flag!(HistoryArgs, no_trunc, "no-trunc", "Do not shorten anything"),
    flag!(HistoryArgs, platform, "platform", "Show the history of this platform, os[/arch[/variant]]"),
    flag!(HistoryArgs, quiet, 'q', "quiet", "Print IDs only"),
];

/// `history`.
pub(crate) struct History;

impl Command for History {
    type Args = HistoryArgs;
    const FLAGS: Tables<HistoryArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] IMAGE";
    const ABOUT: &'static str = "Show the steps that made an image";
    const ARITY: Arity = Arity::Exactly(1);

    async fn run(args: HistoryArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let platform = platform_json(&args.platform)?;
        let human = args.human.unwrap_or(true);
        let items = context.engine(ui)?.image_history(&operands[0], &platform).await?;
        let rows = items.into_iter().map(|item| Row { item, trunc: !args.no_trunc, human }).collect();
        let format = format(&args.format, args.quiet, human);
        let text = format::render(&LISTING, &format, rows).map_err(FormatError::parsing_error)?;
        write!(ui.stdout(), "{text}")?;
        Ok(0)
    }
}

fn format(wanted: &str, quiet: bool, human: bool) -> String {
    match wanted {
        "" | TABLE if quiet => "{{.ID}}".to_owned(),
        "" | TABLE => {
            let created = if human {
                "{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}"
            } else {
                "{{.CreatedAt}}"
            };
            format!("table {{{{.ID}}}}\t{created}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}")
        }
        custom => custom.to_owned(),
    }
}

/// One step.
#[derive(Debug)]
struct Row {
    item: HistoryItem,
    trunc: bool,
    human: bool,
}

static LISTING: Listing<Row> = Listing {
    type_name: "*image.historyContext",
    columns: &[
        Column { name: "ID", header: "IMAGE", value: |row| Value::text(row.id()) },
        Column { name: "CreatedAt", header: "CREATED AT", value: |row| Value::text(row.created_at()) },
        Column { name: "CreatedSince", header: "CREATED", value: |row| Value::text(row.created_since()) },
        Column { name: "CreatedBy", header: "CREATED BY", value: |row| Value::text(row.created_by()) },
        Column { name: "Size", header: "SIZE", value: |row| Value::text(row.size()) },
        Column { name: "Comment", header: "COMMENT", value: |row| Value::text(row.item.comment.as_str()) },
    ],
    label: None,
};

impl Row {
    fn id(&self) -> &str {
        if self.trunc { short_id(&self.item.id) } else { &self.item.id }
    }

    fn created_at(&self) -> String {
        let Ok(time) = jiff::Timestamp::from_second(self.item.created) else { return String::new() };
        let local = time.to_zoned_datetime(jiff::tz::TimeZone::system());
        match local.offset().is_zero() {
            true => local.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            false => local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }

    fn created_since(&self) -> String {
        match (self.human, self.item.created > 0) {
            (true, true) => ago(self.item.created),
            (true, false) => String::new(),
            (false, _) => self.created_at(),
        }
    }

    fn created_by(&self) -> String {
        let text = self.item.created_by.replace('\t', " ");
        if self.trunc { ellipsis(&text, 45) } else { text }
    }

    fn size(&self) -> String {
        if self.human { decimal_size(self.item.size, 3) } else { self.item.size.to_string() }
    }
}
