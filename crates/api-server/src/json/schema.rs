//! Types of request bodies as tables: known names, and the names Go has for their types.

use std::fmt;

use serde_json::{Map, Number, Value};

/// An object with known members.
#[derive(Debug)]
pub(crate) struct Struct {
    /// Go's name, `container.HostConfig`.
    pub(crate) name: &'static str,
    /// How paths in errors begin when this is the document: Go leaves the name out where a struct is embedded.
    pub(crate) root: &'static str,
    /// Members.
    pub(crate) fields: &'static [(&'static str, Schema)],
    /// More members, of a struct that Go embeds.
    pub(crate) embeds: &'static [&'static Struct],
}

/// A type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schema {
    /// `string`.
    String,
    /// A string type with a name, `container.NetworkMode`.
    Named(&'static str),
    /// `bool`.
    Bool,
    /// An integer: Go's name, lowest, highest.
    Integer(&'static str, i128, i128),
    /// A list, with Go's name for it.
    List(&'static str, &'static Schema),
    /// A list of fixed length (`[2]uint`): too few are filled up with zeros, too many are dropped.
    Pair(&'static str, &'static Schema),
    /// A map, with Go's name for it.
    Map(&'static str, &'static Schema),
    /// A command: a list of strings or one string, refused in words of its own.
    Words,
    /// An object with known members.
    Struct(&'static Struct),
}

impl Schema {
    /// `int64`.
    pub(crate) const INT64: Self = Self::Integer("int64", i64::MIN as i128, i64::MAX as i128);
    /// `int`, which is 64 bits wide.
    pub(crate) const INT: Self = Self::Integer("int", i64::MIN as i128, i64::MAX as i128);
    /// `time.Duration`, nanoseconds.
    pub(crate) const DURATION: Self = Self::Integer("time.Duration", i64::MIN as i128, i64::MAX as i128);
    /// `uint64`.
    pub(crate) const UINT64: Self = Self::Integer("uint64", 0, u64::MAX as i128);
    /// `uint16`.
    pub(crate) const UINT16: Self = Self::Integer("uint16", 0, u16::MAX as i128);
    /// `fs.FileMode`.
    pub(crate) const FILE_MODE: Self = Self::Integer("fs.FileMode", 0, u32::MAX as i128);
    /// `uint`; sizes of terminals, which are held in 32 bits.
    pub(crate) const UINT: Self = Self::Integer("uint", 0, u32::MAX as i128);
    /// `[]string`.
    pub(crate) const STRINGS: Self = Self::List("[]string", &Self::String);
    /// `map[string]string`.
    pub(crate) const STRING_MAP: Self = Self::Map("map[string]string", &Self::String);

    fn go_name(&self) -> &'static str {
        match self {
            Self::String | Self::Words => "string",
            Self::Bool => "bool",
            Self::Named(name)
            | Self::Integer(name, ..)
            | Self::List(name, _)
            | Self::Pair(name, _)
            | Self::Map(name, _) => name,
            Self::Struct(of) => of.name,
        }
    }
}

/// A value of the wrong type. Prints as Go's decoder does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    value: String,
    place: Place,
    wanted: &'static str,
}

/// Where the value is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The document itself, or inside a type that reads itself.
    Value,
    /// A member of an object.
    Field(String),
    /// An item of a list, which Go does not call a field.
    Item(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json: cannot unmarshal {} into ", self.value)?;
        match &self.place {
            Place::Value => f.write_str("Go value")?,
            Place::Field(path) => write!(f, "Go struct field {path}")?,
            Place::Item(path) => f.write_str(path)?,
        }
        write!(f, " of type {}", self.wanted)
    }
}

/// Gives members their known names, takes `null` out and checks every type.
pub(crate) fn normalise(value: &mut Value, schema: &Schema) -> Result<(), Mismatch> {
    let root = if let Schema::Struct(of) = schema { of.root } else { "" };
    walk(value, schema, &mut Path { text: root.to_owned(), root: true, item: false })
}

struct Path {
    text: String,
    root: bool,
    item: bool,
}

impl Path {
    fn within<T>(&mut self, name: &str, item: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        let (length, was) = (self.text.len(), (self.root, self.item));
        self.text.push('.');
        // As in a JSON pointer.
        self.text.push_str(&name.replace('~', "~0").replace('/', "~1"));
        (self.root, self.item) = (false, item);
        let result = run(self);
        self.text.truncate(length);
        (self.root, self.item) = was;
        result
    }

    fn place(&self) -> Place {
        match (self.root, self.item) {
            (true, _) => Place::Value,
            (_, true) => Place::Item(self.text.clone()),
            _ => Place::Field(self.text.clone()),
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
    .to_owned()
}

fn walk(value: &mut Value, schema: &Schema, path: &mut Path) -> Result<(), Mismatch> {
    match (schema, &mut *value) {
        (Schema::String | Schema::Named(_), Value::String(_)) | (Schema::Bool, Value::Bool(_)) => Ok(()),
        (Schema::Integer(_, low, high), Value::Number(number)) => {
            integer(number, *low, *high).ok_or_else(|| {
                let value = format!("number {number}");
                Mismatch { value, place: path.place(), wanted: schema.go_name() }
            })
        }
        (Schema::List(_, of), Value::Array(items)) => list(items, of, path),
        (Schema::Pair(_, of), Value::Array(items)) => {
            items.resize(2, Value::Null);
            list(items, of, path)
        }
        (Schema::Map(_, of), Value::Object(members)) => {
            members.iter_mut().try_for_each(|(name, member)| {
                // The key counts even when its value is null: a network with default settings.
                if member.is_null() {
                    *member = zero(of);
                }
                path.within(name, false, |path| walk(member, of, path))
            })
        }
        (Schema::Words, _) => words(value),
        (Schema::Struct(of), Value::Object(members)) => fields(members, of, path),
        _ => Err(Mismatch { value: kind(value), place: path.place(), wanted: schema.go_name() }),
    }
}

fn integer(number: &Number, low: i128, high: i128) -> Option<()> {
    let value = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))?;
    (low <= value && value <= high).then_some(())
}

fn list(items: &mut [Value], of: &Schema, path: &mut Path) -> Result<(), Mismatch> {
    items.iter_mut().enumerate().try_for_each(|(index, item)| {
        // A null item is the type's zero value.
        if item.is_null() {
            *item = zero(of);
        }
        path.within(&index.to_string(), true, |path| walk(item, of, path))
    })
}

fn zero(schema: &Schema) -> Value {
    match schema {
        Schema::String | Schema::Named(_) => Value::from(""),
        Schema::Bool => Value::from(false),
        Schema::Integer(..) => Value::from(0),
        Schema::List(..) | Schema::Pair(..) | Schema::Words => Value::from(Vec::<Value>::new()),
        Schema::Map(..) | Schema::Struct(_) => Value::Object(Map::new()),
    }
}

/// Go's type for commands reads itself: first as a list, then as a string, and reports the latter failure.
fn words(value: &Value) -> Result<(), Mismatch> {
    let right = match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(Value::is_string),
        _ => false,
    };
    if right { Ok(()) } else { Err(Mismatch { value: kind(value), place: Place::Value, wanted: "string" }) }
}

fn fields(members: &mut Map<String, Value>, of: &Struct, path: &mut Path) -> Result<(), Mismatch> {
    let mut known = Map::with_capacity(members.len());
    for (name, mut member) in std::mem::take(members) {
        if member.is_null() {
            continue;
        }
        let Some((name, schema)) = find(of, &name) else {
            // Go ignores what it does not know, and so does serde.
            known.insert(name, member);
            continue;
        };
        path.within(name, false, |path| walk(&mut member, schema, path))?;
        known.insert(name.to_owned(), member);
    }
    *members = known;
    Ok(())
}

/// A field by its name: exactly, else in any case.
fn find<'a>(of: &'a Struct, name: &str) -> Option<(&'static str, &'a Schema)> {
    let all = || of.embeds.iter().flat_map(|embedded| embedded.fields).chain(of.fields);
    let exact = all().find(|(field, _)| *field == name);
    exact
        .or_else(|| all().find(|(field, _)| field.eq_ignore_ascii_case(name)))
        .map(|(field, schema)| (*field, schema))
}
