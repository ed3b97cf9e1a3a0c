//! Values as Go prints them.

use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::Value as Json;

use super::value::{Struct, Type, Value};

/// Prints what an action yields.
pub(super) fn action(value: &Value, output: &mut String) {
    match value {
        Value::Missing => output.push_str("<no value>"),
        other => self::value(other, output),
    }
}

/// Prints a value as `%v`.
pub(super) fn value(value: &Value, output: &mut String) {
    match value {
        Value::Missing | Value::Nil => output.push_str("<nil>"),
        Value::Bool(value) => {
            let _ = write!(output, "{value}");
        }
        Value::Int(number) => {
            let _ = write!(output, "{number}");
        }
        Value::Float(number) => output.push_str(&float(*number)),
        Value::Text(text) => output.push_str(text),
        Value::List(items) => sequence(items, output),
        Value::Document(json, Type::Struct(kind)) => structure(json, kind, output),
        Value::Document(..) => match (value.elements(), value.entries()) {
            (Some(elements), _) => sequence(&elements, output),
            (None, Some(entries)) => map(&entries, output),
            (None, None) => output.push_str("<nil>"),
        },
        Value::Object(object) => map(&members(&object.to_json()), output),
    }
}

/// Go's shortest form of a float: `%g` with an exponent from 21 digits on.
fn float(number: f64) -> String {
    if number != 0.0 && (number.abs() < 1e-4 || number.abs() >= 1e21) {
        let text = format!("{number:e}");
        let Some((mantissa, exponent)) = text.split_once('e') else { return text };
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    number.to_string()
}

fn members(json: &Json) -> Vec<(String, Value)> {
    Value::document(json.clone(), Type::Any).entries().unwrap_or_default()
}

fn sequence(items: &[Value], output: &mut String) {
    output.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            output.push(' ');
        }
        value(item, output);
    }
    output.push(']');
}

fn map(entries: &[(String, Value)], output: &mut String) {
    output.push_str("map[");
    for (index, (key, item)) in entries.iter().enumerate() {
        if index > 0 {
            output.push(' ');
        }
        let _ = write!(output, "{key}:");
        value(item, output);
    }
    output.push(']');
}

fn structure(json: &Json, kind: &Struct, output: &mut String) {
    output.push('{');
    for (index, field) in kind.fields.iter().enumerate() {
        if index > 0 {
            output.push(' ');
        }
        value(&Value::part(Rc::new(field.of(json)), field.kind), output);
    }
    output.push('}');
}

/// `print`: a space only between two operands neither of which is a text.
pub(super) fn print(arguments: &[Value]) -> String {
    let mut output = String::new();
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 && !is_text(argument) && !is_text(&arguments[index - 1]) {
            output.push(' ');
        }
        value(argument, &mut output);
    }
    output
}

/// `println`: spaces between all operands, a newline at the end.
pub(super) fn println(arguments: &[Value]) -> String {
    let mut output = String::new();
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 {
            output.push(' ');
        }
        value(argument, &mut output);
    }
    output.push('\n');
    output
}

/// `printf` with the verbs that templates use.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut output = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        output.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        let flags_end = rest.find(|c: char| !"+-# 0".contains(c)).unwrap_or(rest.len());
        let (flags, after) = rest.split_at(flags_end);
        let (width, after) = digits(after);
        let (precision, after) = match after.strip_prefix('.') {
            Some(after) => {
                let (precision, after) = digits(after);
                (Some(precision.unwrap_or(0)), after)
            }
            None => (None, after),
        };
        let Some(verb) = after.chars().next() else {
            output.push_str("%!(NOVERB)");
            return output;
        };
        rest = &after[verb.len_utf8()..];
        if verb == '%' {
            output.push('%');
            continue;
        }
        let Some(argument) = arguments.next() else {
            let _ = write!(output, "%!{verb}(MISSING)");
            continue;
        };
        let text = verb_text(verb, argument, flags, precision);
        output.push_str(&padded(&text, flags, width.unwrap_or(0), verb));
    }
    output.push_str(rest);
    let extra: Vec<String> = arguments
        .map(|argument| {
            let mut text = format!("{}=", argument.type_name());
            value(argument, &mut text);
            text
        })
        .collect();
    if !extra.is_empty() {
        let _ = write!(output, "%!(EXTRA {})", extra.join(", "));
    }
    output
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

fn verb_text(verb: char, argument: &Value, flags: &str, precision: Option<usize>) -> String {
    let mut plain = String::new();
    value(argument, &mut plain);
    match (verb, argument) {
        ('v' | 's', Value::Text(_)) => match precision {
            Some(precision) => plain.chars().take(precision).collect(),
            None => plain,
        },
        ('T', _) => argument.type_name(),
        ('v', Value::Int(number)) | ('d', Value::Int(number)) if flags.contains('+') => format!("{number:+}"),
        ('v', _) | ('d', Value::Int(_)) | ('t', Value::Bool(_)) => plain,
        ('s', Value::List(_) | Value::Document(..)) => plain,
        ('q', Value::Text(_)) => go_quote(&plain),
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('x', Value::Int(number)) => format!("{number:x}"),
        ('X', Value::Int(number)) => format!("{number:X}"),
        ('o', Value::Int(number)) => format!("{number:o}"),
        ('b', Value::Int(number)) => format!("{number:b}"),
        ('c', Value::Int(number)) => {
            u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('f' | 'F', Value::Float(number)) => format!("{number:.*}", precision.unwrap_or(6)),
        ('g' | 'G', Value::Float(number)) => match precision {
            Some(precision) => crate::units::general(*number, precision),
            None => plain,
        },
        ('e', Value::Float(number)) => format!("{number:.*e}", precision.unwrap_or(6)),
        _ => format!("%!{verb}({}={plain})", argument.type_name()),
    }
}

fn padded(text: &str, flags: &str, width: usize, verb: char) -> String {
    let missing = width.saturating_sub(text.chars().count());
    if flags.contains('-') {
        return format!("{text}{:missing$}", "");
    }
    if flags.contains('0') && matches!(verb, 'd' | 'x' | 'X' | 'o' | 'b' | 'f' | 'g' | 'e') {
        let (sign, number) = text.strip_prefix('-').map_or(("", text), |number| ("-", number));
        return format!("{sign}{}{number}", "0".repeat(missing));
    }
    format!("{:missing$}{text}", "")
}

/// `text` in double quotes, escaped as by Go's `%q`.
pub(crate) fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || c == '\u{feff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
