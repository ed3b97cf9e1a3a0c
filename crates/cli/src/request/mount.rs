//! `--mount`: one mount in its long form.

use std::path::Path;

use api_types::host_config::{
    BindOptions, DriverConfig, ImageOptions, MountRequest, TmpfsOptions, VolumeOptions,
};

use super::csv;
use crate::flags::value::Value;
use crate::units;

/// The mounts that were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mounts(pub(crate) Vec<MountRequest>);

impl Value for Mounts {
    const KIND: &'static str = "mount";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(parse(text)?);
        Ok(())
    }
}

fn parse(text: &str) -> Result<MountRequest, String> {
    let mut mount = MountRequest { kind: "volume".to_owned(), ..MountRequest::default() };
    for field in csv::fields(text)? {
        apply(&mut mount, &field)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn apply(mount: &mut MountRequest, field: &str) -> Result<(), String> {
    let (key, value) = split(field);
    if value.is_none()
        && !matches!(
            key.as_str(),
            "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src"
        )
    {
        return Err(format!("invalid field '{field}' must be a key=value pair"));
    }
    let text = value.unwrap_or_default();
    match key.as_str() {
        "type" => mount.kind = text.to_lowercase(),
        "source" | "src" => mount.source = absolute_if_dotted(text),
        "target" | "dst" | "destination" => text.clone_into(&mut mount.target),
        "readonly" | "ro" => mount.read_only = switch(&key, value)?,
        "consistency" => mount.consistency = text.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = text.to_lowercase(),
        "bind-nonrecursive" => {
            return Err("bind-nonrecursive is deprecated, use bind-recursive=disabled instead".to_owned());
        }
        "bind-recursive" => apply_recursion(bind(mount), &key, text)?,
        "bind-create-src" => bind(mount).create_mountpoint = switch(&key, value)?,
        "volume-subpath" => text.clone_into(&mut volume(mount).subpath),
        "volume-nocopy" => volume(mount).no_copy = switch(&key, value)?,
        "volume-label" => add_pair(volume(mount).labels.get_or_insert_default(), text),
        "volume-driver" => text.clone_into(&mut driver(mount).name),
        "volume-opt" => add_pair(driver(mount).options.get_or_insert_default(), text),
        "image-subpath" => {
            text.clone_into(&mut mount.image_options.get_or_insert_with(ImageOptions::default).subpath);
        }
        "tmpfs-size" => {
            tmpfs(mount).size_bytes = units::parse_bytes(text).map_err(|_| bad_value(&key, text))?
        }
        "tmpfs-mode" => {
            tmpfs(mount).mode = u32::from_str_radix(text, 8).map_err(|_| bad_value(&key, text))?
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

/// Key, in lower case, and value of a field.
fn split(field: &str) -> (String, Option<&str>) {
    match field.split_once('=') {
        Some((key, value)) => (key.to_lowercase(), Some(value)),
        None => (field.to_lowercase(), None),
    }
}

fn switch(key: &str, value: Option<&str>) -> Result<bool, String> {
    let Some(value) = value else { return Ok(true) };
    let mut set = false;
    set.set(value).map_err(|_| bad_value(key, value))?;
    Ok(set)
}

fn bad_value(key: &str, value: &str) -> String {
    format!("invalid value for {key}: {value}")
}

fn apply_recursion(options: &mut BindOptions, key: &str, value: &str) -> Result<(), String> {
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => {
            let choice = r#"(must be "enabled", "disabled", "writable", or "readonly")"#;
            return Err(format!("invalid value for {key}: {value} {choice}"));
        }
    }
    Ok(())
}

/// A source that starts with a dot is a path below our working directory, which the engine does not know.
pub(crate) fn absolute_if_dotted(path: &str) -> String {
    if !path.starts_with('.') {
        return path.to_owned();
    }
    match std::env::current_dir() {
        Ok(directory) => clean(&directory.join(path)),
        Err(_) => path.to_owned(),
    }
}

/// A path without `.`, `..` and doubled slashes, by its text alone.
pub(crate) fn clean(path: &Path) -> String {
    use std::path::Component;
    let mut cleaned = std::path::PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned.to_string_lossy().into_owned()
}

fn bind(mount: &mut MountRequest) -> &mut BindOptions {
    mount.bind_options.get_or_insert_with(BindOptions::default)
}

/// Docker's client names a driver, without a name, with every option of a volume.
fn volume(mount: &mut MountRequest) -> &mut VolumeOptions {
    let driver_config = Some(DriverConfig::default());
    mount.volume_options.get_or_insert_with(|| VolumeOptions { driver_config, ..VolumeOptions::default() })
}

fn driver(mount: &mut MountRequest) -> &mut DriverConfig {
    volume(mount).driver_config.get_or_insert_with(DriverConfig::default)
}

fn tmpfs(mount: &mut MountRequest) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_with(TmpfsOptions::default)
}

fn add_pair(pairs: &mut std::collections::BTreeMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    pairs.insert(key.to_owned(), value.to_owned());
}

/// Refuses options that do not belong to the mount's type.
fn check(mount: &MountRequest) -> Result<(), String> {
    if mount.kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    let mixed =
        |options: &str| Err(format!("cannot mix '{options}' options with mount type '{}'", mount.kind));
    if mount.volume_options.is_some() && mount.kind != "volume" {
        return mixed("volume-*");
    }
    if mount.image_options.is_some() && mount.kind != "image" {
        return mixed("image-*");
    }
    if mount.bind_options.is_some() && mount.kind != "bind" {
        return mixed("bind-*");
    }
    if mount.tmpfs_options.is_some() && mount.kind != "tmpfs" {
        return mixed("tmpfs-*");
    }
    let Some(options) = &mount.bind_options else { return Ok(()) };
    if options.read_only_non_recursive && !mount.read_only {
        return Err(
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction".to_owned()
        );
    }
    if options.read_only_force_recursive {
        if !mount.read_only {
            return Err(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"
                    .to_owned(),
            );
        }
        if options.propagation != "rprivate" {
            let text = "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction";
            return Err(text.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_become_json() {
        for (text, want) in [
            ("type=bind,src=/a,dst=/b", r#"{"Type":"bind","Source":"/a","Target":"/b"}"#),
            (
                "type=bind,source=/a,target=/b,ro",
                r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true}"#,
            ),
            ("dst=/b", r#"{"Type":"volume","Target":"/b"}"#),
            (
                "type=volume,src=v,dst=/b,volume-nocopy,volume-label=a=b,volume-driver=d,volume-opt=o=p",
                r#"{"Type":"volume","Source":"v","Target":"/b","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},"DriverConfig":{"Name":"d","Options":{"o":"p"}}}}"#,
            ),
            (
                "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
                r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#,
            ),
            (
                "type=bind,src=/a,dst=/b,bind-propagation=rslave,bind-recursive=disabled",
                r#"{"Type":"bind","Source":"/a","Target":"/b","BindOptions":{"Propagation":"rslave","NonRecursive":true}}"#,
            ),
            (
                "type=image,src=i,dst=/b,image-subpath=p",
                r#"{"Type":"image","Source":"i","Target":"/b","ImageOptions":{"Subpath":"p"}}"#,
            ),
        ] {
            let mount = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(serde_json::to_string(&mount).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn refusals_are_dockers() {
        for (text, want) in [
            ("", "EOF"),
            ("x", "invalid field 'x' must be a key=value pair"),
            ("type=bind", "target is required"),
            ("type=bind,foo=1,dst=/x", "unexpected key 'foo' in 'foo=1'"),
            ("type=bind, dst=/x", "unexpected key ' dst' in ' dst=/x'"),
            ("type=bind,dst=/x,ro=maybe", "invalid value for ro: maybe"),
            ("dst=/x,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("dst=/x,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
            (
                "type=bind,src=/a,dst=/x,bind-recursive=maybe",
                r#"invalid value for bind-recursive: maybe (must be "enabled", "disabled", "writable", or "readonly")"#,
            ),
        ] {
            assert_eq!(parse(text), Err(want.to_owned()), "{text}");
        }
    }
}
