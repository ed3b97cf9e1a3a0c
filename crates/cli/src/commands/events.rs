//! `events`: prints what happens in the engine.

use std::io::Write;

use api_client::Filters;
use api_client::system::EventsOptions;
use serde_json::Value as Json;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::format::JSON;
use crate::template::value::{Field, Struct, Type};
use crate::template::{MissingKey, Template, Value};
use crate::time::timestamp;
use crate::ui::Ui;

/// Exit code of a format that cannot be used.
const BAD_FORMAT: u8 = 64;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct EventsArgs {
    filter: Filters,
    format: String,
    since: String,
    until: String,
}

const FLAGS: &[Flag<EventsArgs>] = &[
    flag!(EventsArgs, filter, 'f', "filter", "Show only events that fit, NAME=VALUE"),
    flag!(
        EventsArgs,
        format,
        "format",
        "Print in another format:\n\
         'json':             one JSON object a line\n\
         'TEMPLATE':         what a Go template makes of each"
    ),
    flag!(EventsArgs, since, "since", "Begin with what happened since a time, or \"42m\" ago"),
    flag!(EventsArgs, until, "until", "End at a time, or \"42m\" ago"),
];

/// `events`.
pub(crate) struct Events;

impl Command for Events {
    type Args = EventsArgs;
    const FLAGS: Tables<EventsArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Show what happens in the engine, as it happens";
    const ARITY: Arity = Arity::None;

    async fn run(args: EventsArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let format = match args.format.as_str() {
            "" => None,
            JSON => Some("{{json .}}"),
            template => Some(template),
        };
        let template = format.map(|format| Template::parse("", format)).transpose().map_err(bad_format)?;
        if let Some(template) = &template {
            // A template that cannot work is told before anything happens.
            print(template, Json::default()).map_err(bad_format)?;
        }
        let now = jiff::Timestamp::now();
        let options = EventsOptions {
            since: timestamp(&args.since, now).map_err(CommandError::new)?,
            until: timestamp(&args.until, now).map_err(CommandError::new)?,
            filters: args.filter,
        };
        let engine = context.engine(ui)?;
        let mut events = engine.events(&options).await?;
        while let Some(event) = events.next().await? {
            let line = match &template {
                Some(template) => print(template, event).map_err(bad_format)?,
                None => describe(&event),
            };
            writeln!(ui.stdout(), "{line}")?;
            ui.flush()?;
        }
        Ok(0)
    }
}

fn bad_format(why: String) -> CommandError {
    CommandError::new(format!("Error parsing format: {why}")).with_code(BAD_FORMAT)
}

fn print(template: &Template, event: Json) -> Result<String, String> {
    let mut line = String::new();
    template.execute(&Value::document(event, Type::Struct(&MESSAGE)), MissingKey::NoValue, &mut line)?;
    Ok(line)
}

/// `TIME TYPE ACTION ID (NAME=VALUE, …)`.
fn describe(event: &Json) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let at = jiff::Timestamp::from_nanosecond(event["timeNano"].as_i64().unwrap_or_default().into())
        .unwrap_or_default()
        .to_zoned_datetime(jiff::tz::TimeZone::system());
    // UTC is Z, everything else a number of hours and minutes.
    let zone = match at.offset().seconds() {
        0 => "Z".to_owned(),
        _ => at.strftime("%:z").to_string(),
    };
    let actor = &event["Actor"];
    let id = actor["ID"].as_str().unwrap_or_default();
    let time = at.strftime("%Y-%m-%dT%H:%M:%S.%9f");
    let mut line = format!("{time}{zone} {} {} {id}", text("Type"), text("Action"));
    let mut attributes: Vec<String> = actor["Attributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    if !attributes.is_empty() {
        attributes.sort();
        line.push_str(&format!(" ({})", attributes.join(", ")));
    }
    line
}

/// What Go takes an event for.
static MESSAGE: Struct = Struct {
    name: "*events.Message",
    fields: &[
        Field::renamed("Status", "status", Type::Text),
        Field::renamed("ID", "id", Type::Text),
        Field::renamed("From", "from", Type::Text),
        Field::new("Type", Type::Text),
        Field::new("Action", Type::Text),
        Field::new("Actor", Type::Struct(&ACTOR)),
        Field::renamed("Scope", "scope", Type::Text),
        Field::renamed("Time", "time", Type::Int),
        Field::renamed("TimeNano", "timeNano", Type::Int),
    ],
};

static ACTOR: Struct = Struct {
    name: "events.Actor",
    fields: &[Field::new("ID", Type::Text), Field::new("Attributes", Type::Map(&Type::Text))],
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Json {
        json!({
            "status": "die", "id": "abc", "from": "bb", "Type": "container", "Action": "die",
            "Actor": {"ID": "abc", "Attributes": {"name": "web", "exitCode": "3"}},
            "scope": "local", "time": 1_700_000_000, "timeNano": 1_700_000_000_000_000_500_i64,
        })
    }

    #[test]
    fn events_are_lines_or_what_a_template_makes_of_them() {
        let line = describe(&event());
        assert!(line.starts_with("2023-11-1"), "{line}");
        assert!(line.contains(".000000500"), "{line}");
        assert!(line.ends_with(" container die abc (exitCode=3, name=web)"), "{line}");
        let show = |format: &str| print(&Template::parse("", format).unwrap(), event());
        assert_eq!(
            show("{{.ID}} {{.Actor.Attributes}} {{.Time}}").unwrap(),
            "abc map[exitCode:3 name:web] 1700000000"
        );
        assert_eq!(show("{{index .Actor.Attributes \"exitCode\"}}").unwrap(), "3");
        assert!(show("{{.Foo}}").unwrap_err().contains("can't evaluate field Foo in type *events.Message"));
    }
}
