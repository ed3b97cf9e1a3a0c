//! What templates work on.

use std::rc::Rc;

use serde_json::Value as Json;

/// A value in a template.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing at all: a missing key, an untyped nil.
    Missing,
    /// A nil pointer.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A number without a fraction.
    Int(i64),
    /// A number with one.
    Float(f64),
    /// A text.
    Text(Rc<str>),
    /// A list made by a function.
    List(Rc<Vec<Value>>),
    /// A part of a document, with what Go would take it for.
    Document(Rc<Json>, Type),
    /// Something that computes its members.
    Object(Rc<dyn Object>),
}

/// Something that computes its members when asked.
pub(crate) trait Object: std::fmt::Debug {
    /// Go's name of its type, for errors.
    fn type_name(&self) -> &str;

    /// A member, or a method without arguments.
    fn member(&self, name: &str) -> Option<Value>;

    /// A method with one argument.
    fn call(&self, _name: &str, _argument: &str) -> Option<Value> {
        None
    }

    /// Whether [`Self::call`] knows the name.
    fn is_method(&self, _name: &str) -> bool {
        false
    }

    /// All of it, for `{{json .}}`.
    fn to_json(&self) -> Json;
}

/// What Go would take a JSON value for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// `interface {}`: whatever it is.
    Any,
    /// `string`.
    Text,
    /// An integer.
    Int,
    /// `bool`.
    Bool,
    /// A list of these.
    List(&'static Type),
    /// A map from strings to these.
    Map(&'static Type),
    /// A pointer: may be nil.
    Pointer(&'static Type),
    /// A struct.
    Struct(&'static Struct),
}

/// A struct type: its members in Go's order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Struct {
    /// Go's name of it.
    pub(crate) name: &'static str,
    /// Its members.
    pub(crate) fields: &'static [Field],
}

/// A member of a struct.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Go's name.
    pub(crate) name: &'static str,
    /// Name in JSON; empty for an embedded struct, whose members stand beside its own.
    pub(crate) json: &'static str,
    /// Type.
    pub(crate) kind: Type,
}

impl Struct {
    /// A member, also of an embedded struct.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name).or_else(|| {
            let embedded = self.fields.iter().filter(|field| field.json.is_empty());
            embedded.filter_map(|field| field.kind.target()).find_map(|target| target.field(name))
        })
    }
}

impl Field {
    /// A member that has the same name in Go and in JSON.
    pub(crate) const fn new(name: &'static str, kind: Type) -> Self {
        Self { name, json: name, kind }
    }

    /// A member with another name in JSON.
    pub(crate) const fn renamed(name: &'static str, json: &'static str, kind: Type) -> Self {
        Self { name, json, kind }
    }

    /// The member's part of a document.
    pub(crate) fn of(&self, json: &Json) -> Json {
        match self.json {
            "" => json.clone(),
            name => json.get(name).cloned().unwrap_or(Json::Null),
        }
    }
}

impl Type {
    /// The struct that this is, or points to.
    fn target(self) -> Option<&'static Struct> {
        match self {
            Self::Struct(described) => Some(described),
            Self::Pointer(target) => target.target(),
            _ => None,
        }
    }
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A document of that type.
    pub(crate) fn document(json: Json, kind: Type) -> Self {
        Self::part(Rc::new(json), kind)
    }

    /// A part of a document; scalars become plain values.
    pub(crate) fn part(json: Rc<Json>, kind: Type) -> Self {
        match kind {
            Type::Pointer(_) if json.is_null() => Self::Nil,
            Type::Pointer(target) => Self::part(json, *target),
            Type::Any => Self::any(json),
            Type::Text => Self::text(json.as_str().unwrap_or_default()),
            Type::Int => match json.as_i64() {
                Some(number) => Self::Int(number),
                None => json.as_number().map_or(Self::Int(0), |number| Self::text(number.to_string())),
            },
            Type::Bool => Self::Bool(json.as_bool().unwrap_or_default()),
            Type::List(_) | Type::Map(_) | Type::Struct(_) => Self::Document(json, kind),
        }
    }

    fn any(json: Rc<Json>) -> Self {
        match &*json {
            Json::Null => Self::Missing,
            Json::Bool(value) => Self::Bool(*value),
            // Go keeps numbers of unknown type as their text.
            Json::Number(number) => Self::text(number.to_string()),
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(_) | Json::Object(_) => Self::Document(json, Type::Any),
        }
    }

    /// Go's idea of truth: anything but zero and empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Document(_, Type::Struct(_)) | Self::Object(_) => true,
            Self::Document(json, _) => match &**json {
                Json::Array(items) => !items.is_empty(),
                Json::Object(members) => !members.is_empty(),
                _ => false,
            },
        }
    }

    /// Go's name of its type.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::Missing | Self::Nil => "<nil>".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::List(_) => "[]string".to_owned(),
            Self::Document(json, kind) => document_type(json, *kind),
            Self::Object(object) => object.type_name().to_owned(),
        }
    }

    /// The elements of a list; none for what is no list.
    pub(crate) fn elements(&self) -> Option<Vec<Value>> {
        match self {
            Self::List(items) => Some(items.to_vec()),
            Self::Document(json, kind) => {
                let element = match kind {
                    Type::List(element) => **element,
                    Type::Any if json.is_array() => Type::Any,
                    _ => return None,
                };
                let items = json.as_array().map(Vec::as_slice).unwrap_or_default();
                Some(items.iter().map(|item| Self::part(Rc::new(item.clone()), element)).collect())
            }
            _ => None,
        }
    }

    /// The entries of a map, sorted by key; none for what is no map.
    pub(crate) fn entries(&self) -> Option<Vec<(String, Value)>> {
        let Self::Document(json, kind) = self else { return None };
        let element = self.map_element(kind)?;
        let Some(members) = json.as_object() else { return Some(Vec::new()) };
        let mut entries: Vec<(String, Value)> = members
            .iter()
            .map(|(key, value)| (key.clone(), Self::part(Rc::new(value.clone()), element)))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Some(entries)
    }

    /// Type of a map's values.
    pub(crate) fn map_element(&self, kind: &Type) -> Option<Type> {
        match (self, kind) {
            (_, Type::Map(element)) => Some(**element),
            (Self::Document(json, _), Type::Any) if json.is_object() => Some(Type::Any),
            _ => None,
        }
    }

    /// The value as JSON.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Missing | Self::Nil => Json::Null,
            Self::Bool(value) => Json::from(*value),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Text(text) => Json::from(&**text),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Document(json, _) => (**json).clone(),
            Self::Object(object) => object.to_json(),
        }
    }
}

fn document_type(json: &Json, kind: Type) -> String {
    match kind {
        Type::Any if json.is_array() => "[]interface {}".to_owned(),
        Type::Any => "map[string]interface {}".to_owned(),
        kind => type_text(kind),
    }
}

fn type_text(kind: Type) -> String {
    match kind {
        Type::Any => "interface {}".to_owned(),
        Type::Text => "string".to_owned(),
        Type::Int => "int".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::List(element) => format!("[]{}", type_text(*element)),
        Type::Map(element) => format!("map[string]{}", type_text(*element)),
        Type::Pointer(target) => format!("*{}", type_text(*target)),
        Type::Struct(described) => described.name.to_owned(),
    }
}
