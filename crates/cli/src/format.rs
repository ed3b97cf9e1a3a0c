//! Lists of objects in a format of the user's choice: a table, JSON, or a Go template.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value as Json;

use crate::table;
use crate::template::value::Object;
use crate::template::{MissingKey, Template, Value};

/// `--format` for a table with the usual columns.
pub(crate) const TABLE: &str = "table";
/// `--format` for one JSON object a line.
pub(crate) const JSON: &str = "json";

/// A member of a listed object.
pub(crate) struct Column<T> {
    /// Name in templates.
    pub(crate) name: &'static str,
    /// Head of its column.
    pub(crate) header: &'static str,
    /// Its value.
    pub(crate) value: fn(&T) -> Value,
}

/// What there is to know of a kind of listed objects.
pub(crate) struct Listing<T: 'static> {
    /// Go's name of the type, for errors.
    pub(crate) type_name: &'static str,
    /// The members.
    pub(crate) columns: &'static [Column<T>],
    /// The method `Label`, where there is one.
    pub(crate) label: Option<fn(&T, &str) -> String>,
}

/// How a format failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatError {
    /// The template cannot be read.
    Parse(String),
    /// The template cannot be run.
    Execute(String),
}

impl FormatError {
    /// As most commands tell it.
    pub(crate) fn parsing_error(self) -> crate::error::CommandError {
        let (Self::Parse(why) | Self::Execute(why)) = self;
        crate::error::CommandError::new(format!("template parsing error: {why}"))
    }
}

/// The whole output for `items` in `format`, which may start with `table`.
pub(crate) fn render<T: std::fmt::Debug>(
    listing: &'static Listing<T>,
    format: &str,
    items: Vec<T>,
) -> Result<String, FormatError> {
    let (body, is_table) = match format.strip_prefix(TABLE) {
        Some(body) => (body.trim_matches(' '), true),
        None if format == JSON => ("{{json .}}", false),
        None => (format.trim_matches(' '), false),
    };
    let body = body.replace("\\t", "\t").replace("\\n", "\n");
    let template = Template::parse("", &body).map_err(FormatError::Parse)?;
    let mut output = String::new();
    if is_table {
        run(&template, &Value::Object(Rc::new(Header { listing })), &mut output)?;
    }
    for item in items {
        run(&template, &Value::Object(Rc::new(Row { listing, item })), &mut output)?;
    }
    Ok(if is_table { table::align(&output) } else { output })
}

fn run(template: &Template, dot: &Value, output: &mut String) -> Result<(), FormatError> {
    template.execute(dot, MissingKey::NoValue, output).map_err(FormatError::Execute)?;
    output.push('\n');
    Ok(())
}

/// A list as a template sees it inside another object.
pub(crate) fn list<T: Clone + std::fmt::Debug>(listing: &'static Listing<T>, items: &[T]) -> Value {
    let row = |item: &T| Value::Object(Rc::new(Row { listing, item: item.clone() }));
    Value::List(Rc::new(items.iter().map(row).collect()))
}

/// An object of the list.
struct Row<T: 'static> {
    listing: &'static Listing<T>,
    item: T,
}

/// The head of the table: every member is the head of its column.
struct Header<T: 'static> {
    listing: &'static Listing<T>,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Row<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.item.fmt(f)
    }
}

impl<T> std::fmt::Debug for Header<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.listing.type_name)
    }
}

impl<T: std::fmt::Debug> Object for Row<T> {
    fn type_name(&self) -> &str {
        self.listing.type_name
    }

    fn member(&self, name: &str) -> Option<Value> {
        let column = self.listing.columns.iter().find(|column| column.name == name)?;
        Some((column.value)(&self.item))
    }

    fn call(&self, name: &str, argument: &str) -> Option<Value> {
        let label = self.listing.label.filter(|_| name == "Label")?;
        Some(Value::text(label(&self.item, argument)))
    }

    fn is_method(&self, name: &str) -> bool {
        self.listing.label.is_some() && name == "Label"
    }

    fn to_json(&self) -> Json {
        let mut columns: Vec<&Column<T>> = self.listing.columns.iter().collect();
        columns.sort_by_key(|column| column.name);
        columns
            .into_iter()
            .map(|column| (column.name.to_owned(), (column.value)(&self.item).to_json()))
            .collect()
    }
}

impl<T> Object for Header<T> {
    fn type_name(&self) -> &str {
        self.listing.type_name
    }

    fn member(&self, name: &str) -> Option<Value> {
        let column = self.listing.columns.iter().find(|column| column.name == name)?;
        Some(Value::text(column.header))
    }

    /// The head of a label's column is its last word.
    fn call(&self, _name: &str, argument: &str) -> Option<Value> {
        let last = argument.rsplit('.').next().unwrap_or_default();
        Some(Value::text(last.replace(['-', '_'], " ")))
    }

    fn is_method(&self, name: &str) -> bool {
        self.listing.label.is_some() && name == "Label"
    }

    fn to_json(&self) -> Json {
        Json::Null
    }
}

/// The first characters of `text`, with an ellipsis in place of what is cut.
pub(crate) fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(length.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The first twelve digits of an id.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// A moment as Go prints it: `2026-11-24 15:02:42 +0000 UTC`.
pub(crate) fn local_time(seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(seconds) else { return String::new() };
    time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// Now, in Unix seconds.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// How long ago a moment was: `3 minutes ago`.
pub(crate) fn ago(seconds: i64) -> String {
    format!("{} ago", crate::units::human_duration(now() - seconds))
}

/// Tries a format, as the user wrote it, on an object with nothing in it.
pub(crate) fn check<T: Default + std::fmt::Debug>(
    listing: &'static Listing<T>,
    format: &str,
) -> Result<(), FormatError> {
    let template = Template::parse("", format).map_err(FormatError::Parse)?;
    let dot = Value::Object(Rc::new(Row { listing, item: T::default() }));
    template.execute(&dot, MissingKey::NoValue, &mut String::new()).map_err(FormatError::Execute)
}

/// Whether `format` uses `.name` of the listed object itself.
pub(crate) fn uses<T>(listing: &'static Listing<T>, format: &str, name: &str) -> bool {
    let probe = Rc::new(Probe { listing, asked: RefCell::default() });
    let body = format.strip_prefix(TABLE).unwrap_or(format);
    if let Ok(template) = Template::parse("", body) {
        let dot = Value::Object(Rc::clone(&probe) as Rc<dyn Object>);
        // It is tried for what it asks; its failure is told when it is used.
        let _ = template.execute(&dot, MissingKey::NoValue, &mut String::new());
    }
    probe.asked.borrow().iter().any(|asked| asked == name)
}

/// Remembers which members a template asks for.
struct Probe<T: 'static> {
    listing: &'static Listing<T>,
    asked: RefCell<Vec<String>>,
}

impl<T> std::fmt::Debug for Probe<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.asked.fmt(f)
    }
}

impl<T> Object for Probe<T> {
    fn type_name(&self) -> &str {
        self.listing.type_name
    }

    fn member(&self, name: &str) -> Option<Value> {
        self.asked.borrow_mut().push(name.to_owned());
        Some(Value::text(""))
    }

    fn call(&self, _name: &str, _argument: &str) -> Option<Value> {
        Some(Value::text(""))
    }

    fn is_method(&self, name: &str) -> bool {
        self.listing.label.is_some() && name == "Label"
    }

    fn to_json(&self) -> Json {
        Json::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Item(&'static str);

    static LISTING: Listing<Item> = Listing {
        type_name: "*formatter.itemContext",
        columns: &[
            Column { name: "Name", header: "NAME", value: |item| Value::text(item.0) },
            Column { name: "Bare", header: "BARE", value: |_| Value::Nil },
        ],
        label: Some(|item, name| format!("{}:{name}", item.0)),
    };

    fn show(format: &str) -> Result<String, FormatError> {
        render(&LISTING, format, vec![Item("a<b"), Item("c")])
    }

    #[test]
    fn formats_are_tables_json_or_templates() {
        assert_eq!(
            show("table {{.Name}}\\t{{.Bare}}").unwrap(),
            "NAME      BARE\na<b       <nil>\nc         <nil>\n"
        );
        assert_eq!(
            show("table {{.Name | upper}}\\t{{.Label \"x.y-z\"}}").unwrap(),
            "NAME      y z\nA<B       a<b:x.y-z\nC         c:x.y-z\n"
        );
        assert_eq!(
            show("json").unwrap(),
            "{\"Bare\":null,\"Name\":\"a\\u003cb\"}\n{\"Bare\":null,\"Name\":\"c\"}\n"
        );
        assert_eq!(show("{{.Name}}!").unwrap(), "a<b!\nc!\n");
    }

    #[test]
    fn errors_name_the_place() {
        let unknown = "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.itemContext";
        assert_eq!(show("{{.Foo}}"), Err(FormatError::Execute(unknown.to_owned())));
        assert_eq!(show("{{.Foo"), Err(FormatError::Parse("template: :1: unclosed action".to_owned())));
        let count =
            "template: :1:2: executing \"\" at <.Label>: wrong number of args for Label: want 1 got 0";
        assert_eq!(show("{{.Label}}"), Err(FormatError::Execute(count.to_owned())));
    }

    #[test]
    fn a_probe_sees_what_a_template_asks_for() {
        assert!(uses(&LISTING, "{{.Name}}", "Name"));
        assert!(!uses(&LISTING, "{{.Bare}}", "Name"));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(ellipsis("abcd", 4), "abcd");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
    }
}
