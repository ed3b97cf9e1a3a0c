//! Engine API JSON, field by field: data only, no I/O.
//!
//! Field order, null, empty and absent are part of the interface, so they are explicit here: `Option` is written
//! as `null` when none, a `Vec` or map as `[]` or `{}`, a [`list::List`] as it was given, and only what Docker leaves out has
//! `skip_serializing_if`. Requests may say `null` for anything; [`strip_nulls`] takes nulls out before a body is
//! read, which is what Go's decoder amounts to.
//!
//! - [`bytes`]: binary data
//! - [`config`]: `Config`, the portable part of a container, shared with images
//! - [`host_config`]: `HostConfig`, the part that belongs to one host
//! - [`list`]: lists that remember whether they were given
//! - [`network`]: endpoint settings
//! - [`container`]: create, list, inspect, wait
//! - [`files`]: what is at a path, what changed; [`base64`]: how headers carry documents
//! - [`exec`]: exec create, start, inspect
//! - [`image`]: list, inspect, history, delete
//! - [`space`]: what takes space, and what pruning gave back
//! - [`stats`]: what a container uses
//! - [`system`]: version, info, events, errors

#![forbid(unsafe_code)]

pub mod base64;
pub mod bytes;
pub mod config;
pub mod container;
pub mod exec;
pub mod files;
pub mod host_config;
pub mod image;
pub mod list;
pub mod network;
pub mod space;
pub mod stats;
pub mod system;

/// Newest API version that is spoken.
pub const MAX_API_VERSION: &str = "1.51";
/// Oldest API version that is spoken.
pub const MIN_API_VERSION: &str = "1.24";
/// The time that stands for "never".
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Removes every `null` member from objects, at any depth.
pub fn strip_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// The JSON object `{}`, value of a set written as a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Empty {}

/// Nothing, or nothing in it; for `skip_serializing_if` of what Go marks `omitempty`.
pub(crate) fn no_items<'a, C>(items: &'a Option<C>) -> bool
where
    &'a C: IntoIterator,
{
    items.as_ref().is_none_or(|items| items.into_iter().next().is_none())
}

/// True for a value equal to its default; for `skip_serializing_if`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn nulls_go_at_any_depth() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [ {"e": null} ]}});
        super::strip_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [{}]}}));
    }
}
