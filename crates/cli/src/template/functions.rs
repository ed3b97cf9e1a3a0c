//! The functions that templates may call: Go's own, and those that Docker adds.

use std::rc::Rc;

use super::print;
use super::value::{Type, Value};
use unicode_width::UnicodeWidthStr as _;

/// Why a call failed.
pub(crate) enum Failure {
    /// The function refused.
    Call(String),
    /// An argument is not what it takes; counted from zero.
    Argument(usize, String),
    /// It takes another number of arguments.
    Count(String),
}

type Answer = Result<Value, Failure>;

/// Every function.
const NAMES: [&str; 27] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower", "lt", "ne",
    "not", "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
    "urlquery",
];

/// Whether there is a function of that name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function; `and` and `or` are the interpreter's.
pub(super) fn call(name: &str, arguments: &[Value]) -> Answer {
    match name {
        "json" => Ok(Value::text(to_json(one(name, arguments)?))),
        "lower" => Ok(Value::text(text(name, arguments, 0, 1)?.to_lowercase())),
        "upper" => Ok(Value::text(text(name, arguments, 0, 1)?.to_uppercase())),
        "title" => Ok(Value::text(title(&text(name, arguments, 0, 1)?))),
        "split" => {
            let (whole, separator) = (text(name, arguments, 0, 2)?, text(name, arguments, 1, 2)?);
            Ok(list(split(&whole, &separator)))
        }
        "join" => join(arguments),
        "pad" => pad(arguments),
        "truncate" => truncate(arguments),
        "len" => length(one(name, arguments)?),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "not" => Ok(Value::Bool(!one(name, arguments)?.is_true())),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare(name, arguments),
        "print" => Ok(Value::text(print::print(arguments))),
        "println" => Ok(Value::text(print::println(arguments))),
        "printf" => match arguments.split_first() {
            Some((Value::Text(format), rest)) => Ok(Value::text(print::printf(format, rest))),
            Some((other, _)) => Err(wrong_type(0, other, "string")),
            None => Err(count(name, "at least 1", 0)),
        },
        "html" => Ok(Value::text(html(&print::print(arguments)))),
        "js" => Ok(Value::text(gotmpl::js_escape(&print::print(arguments)))),
        "urlquery" => Ok(Value::text(gotmpl::url_encode(&print::print(arguments)))),
        "call" => {
            let kind = arguments.first().map_or_else(|| "<nil>".to_owned(), Value::type_name);
            Err(Failure::Call(format!("non-function of type {kind}")))
        }
        other => Err(Failure::Call(format!("no function {other}"))),
    }
}

fn count(name: &str, want: &str, got: usize) -> Failure {
    Failure::Count(format!("wrong number of args for {name}: want {want} got {got}"))
}

fn wrong_type(index: usize, value: &Value, want: &str) -> Failure {
    let why = match value {
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
            let mut printed = String::new();
            print::value(value, &mut printed);
            format!("expected {want}; found {printed}")
        }
        Value::Missing => format!("invalid value; expected {want}"),
        other => format!("wrong type for value; expected {want}; got {}", other.type_name()),
    };
    Failure::Argument(index, why)
}

fn one<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Value, Failure> {
    match arguments {
        [value] => Ok(value),
        other => Err(count(name, "1", other.len())),
    }
}

/// The text that is argument `index` of `want`.
fn text(name: &str, arguments: &[Value], index: usize, want: usize) -> Result<Rc<str>, Failure> {
    if arguments.len() != want {
        return Err(count(name, &want.to_string(), arguments.len()));
    }
    match &arguments[index] {
        Value::Text(text) => Ok(Rc::clone(text)),
        other => Err(wrong_type(index, other, "string")),
    }
}

fn number(arguments: &[Value], index: usize) -> Result<usize, Failure> {
    match &arguments[index] {
        Value::Int(number) => Ok(usize::try_from(*number).unwrap_or(0)),
        other => Err(wrong_type(index, other, "int")),
    }
}

fn list(texts: impl IntoIterator<Item = String>) -> Value {
    Value::List(Rc::new(texts.into_iter().map(Value::text).collect()))
}

/// JSON without escapes for HTML; members in the document's order.
pub(crate) fn to_json(value: &Value) -> String {
    let text = value.to_json().to_string();
    match value {
        // Docker's own objects pass through Go's default encoder, documents do not.
        Value::Object(_) => text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        _ => text,
    }
}

fn split(whole: &str, separator: &str) -> Vec<String> {
    if separator.is_empty() {
        return whole.chars().map(String::from).collect();
    }
    whole.split(separator).map(str::to_owned).collect()
}

fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let starts = !before.is_alphanumeric() && before != '_' && before != '\'';
            before = c;
            if starts { c.to_uppercase().next().unwrap_or(c) } else { c }
        })
        .collect()
}

fn join(arguments: &[Value]) -> Answer {
    let [items, separator] = arguments else { return Err(count("join", "2", arguments.len())) };
    let texts = items.elements().filter(|_| is_list_of_texts(items));
    let Some(texts) = texts else { return Err(wrong_type(0, items, "[]string")) };
    let Value::Text(separator) = separator else { return Err(wrong_type(1, separator, "string")) };
    let texts: Vec<String> = texts.iter().map(|item| print::print(std::slice::from_ref(item))).collect();
    Ok(Value::text(texts.join(separator)))
}

fn is_list_of_texts(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Document(_, Type::List(Type::Text)))
}

fn pad(arguments: &[Value]) -> Answer {
    let whole = text("pad", arguments, 0, 3)?;
    let (before, after) = (number(arguments, 1)?, number(arguments, 2)?);
    if whole.is_empty() {
        return Ok(Value::text(""));
    }
    Ok(Value::text(format!("{:before$}{whole}{:after$}", "", "")))
}

fn truncate(arguments: &[Value]) -> Answer {
    let whole = text("truncate", arguments, 0, 2)?;
    let length = number(arguments, 1)?;
    if whole.width() <= length && whole.len() <= length {
        return Ok(Value::Text(whole));
    }
    Ok(Value::text(whole.chars().take(length).collect::<String>()))
}

fn length(value: &Value) -> Answer {
    let length = match value {
        Value::Text(text) => Some(text.len()),
        other => other.elements().map(|e| e.len()).or_else(|| other.entries().map(|e| e.len())),
    };
    match length {
        Some(length) => Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX))),
        None if matches!(value, Value::Missing | Value::Nil) => {
            Err(Failure::Call("len of nil pointer".to_owned()))
        }
        None => Err(Failure::Call(format!("len of type {}", value.type_name()))),
    }
}

fn index(arguments: &[Value]) -> Answer {
    let Some((first, keys)) = arguments.split_first() else { return Err(count("index", "at least 1", 0)) };
    let mut value = first.clone();
    for key in keys {
        value = index_one(&value, key)?;
    }
    Ok(value)
}

fn index_one(value: &Value, key: &Value) -> Answer {
    if let Some(elements) = value.elements() {
        let Value::Int(position) = key else {
            return Err(Failure::Call(format!("cannot index slice/array with type {}", key.type_name())));
        };
        let found = usize::try_from(*position).ok().and_then(|position| elements.get(position).cloned());
        return found.ok_or_else(|| Failure::Call(format!("index out of range: {position}")));
    }
    if let Value::Document(json, kind) = value
        && let Some(element) = value.map_element(kind)
    {
        let Value::Text(name) = key else {
            return Err(Failure::Call(format!("value has type {}; should be string", key.type_name())));
        };
        // A missing key is the zero of the map's type.
        let part = json.get(&**name).cloned().unwrap_or(serde_json::Value::Null);
        return Ok(Value::part(Rc::new(part), element));
    }
    match value {
        Value::Text(text) => {
            let Value::Int(position) = key else {
                return Err(Failure::Call(format!("cannot index slice/array with type {}", key.type_name())));
            };
            let byte = usize::try_from(*position).ok().and_then(|position| text.as_bytes().get(position));
            byte.map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| Failure::Call(format!("index out of range: {position}")))
        }
        Value::Missing | Value::Nil => Err(Failure::Call("index of untyped nil".to_owned())),
        other => Err(Failure::Call(format!("can't index item of type {}", other.type_name()))),
    }
}

fn slice(arguments: &[Value]) -> Answer {
    let Some((value, bounds)) = arguments.split_first() else { return Err(count("slice", "at least 1", 0)) };
    let length = match value {
        Value::Text(text) => text.len(),
        other => match other.elements() {
            Some(elements) => elements.len(),
            None => return Err(Failure::Call(format!("can't slice item of type {}", other.type_name()))),
        },
    };
    let bound = |position: usize, default: usize| match bounds.get(position) {
        None => Ok(default),
        Some(Value::Int(number)) => usize::try_from(*number)
            .ok()
            .filter(|number| *number <= length)
            .ok_or_else(|| Failure::Call(format!("index out of range: {number}"))),
        Some(other) => {
            Err(Failure::Call(format!("cannot index slice/array with type {}", other.type_name())))
        }
    };
    let (start, end) = (bound(0, 0)?, bound(1, length)?);
    if start > end {
        return Err(Failure::Call(format!("invalid slice index: {start} > {end}")));
    }
    match value {
        Value::Text(text) => {
            let bytes = &text.as_bytes()[start..end];
            Ok(Value::text(String::from_utf8_lossy(bytes).into_owned()))
        }
        other => {
            let elements = other.elements().unwrap_or_default();
            Ok(Value::List(Rc::new(elements[start..end].to_vec())))
        }
    }
}

fn compare(name: &str, arguments: &[Value]) -> Answer {
    let Some((first, rest)) = arguments.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(Failure::Call("missing argument for comparison".to_owned()));
    };
    let order = |other: &Value| -> Result<Option<std::cmp::Ordering>, Failure> {
        let incompatible = || Failure::Call("incompatible types for comparison".to_owned());
        match (first, other) {
            (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
            (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
            (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
            (Value::Bool(a), Value::Bool(b)) => match (name, a == b) {
                ("eq" | "ne", true) => Ok(Some(std::cmp::Ordering::Equal)),
                ("eq" | "ne", false) => Ok(Some(std::cmp::Ordering::Less)),
                _ => Err(Failure::Call("invalid type for comparison".to_owned())),
            },
            (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => Ok(Some(std::cmp::Ordering::Equal)),
            (Value::Missing | Value::Nil, _) | (_, Value::Missing | Value::Nil)
                if matches!(name, "eq" | "ne") =>
            {
                Ok(None)
            }
            _ => Err(incompatible()),
        }
    };
    if name == "eq" {
        for other in rest {
            if order(other)?.is_some_and(std::cmp::Ordering::is_eq) {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    let [other] = rest else { return Err(count(name, "2", arguments.len())) };
    let found = order(other)?;
    Ok(Value::Bool(match name {
        "ne" => !found.is_some_and(std::cmp::Ordering::is_eq),
        "lt" => found.is_some_and(std::cmp::Ordering::is_lt),
        "le" => found.is_some_and(std::cmp::Ordering::is_le),
        "gt" => found.is_some_and(std::cmp::Ordering::is_gt),
        _ => found.is_some_and(std::cmp::Ordering::is_ge),
    }))
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '\0' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
