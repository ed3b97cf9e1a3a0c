//! Devices, their limits, and other single values that the engine takes apart.

use std::collections::BTreeMap;

use api_types::host_config::{DeviceMapping, DeviceRequest, ThrottleDevice, Ulimit, WeightDevice};

use super::csv;
use crate::flags::value::Value;
use crate::units;

/// `--gpus`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gpus(pub(crate) Vec<DeviceRequest>);

impl Value for Gpus {
    const KIND: &'static str = "gpu-request";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(parse_gpus(text)?);
        Ok(())
    }
}

fn parse_gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut seen: Vec<String> = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        if seen.iter().any(|name| name == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        let Some(value) = value else {
            seen.push("count".to_owned());
            request.count = parse_count(key)?;
            continue;
        };
        let words = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match key {
            "driver" => value.clone_into(&mut request.driver),
            "count" => request.count = parse_count(value)?,
            "device" => request.device_ids = Some(words()),
            "capabilities" => {
                let mut capabilities = words();
                capabilities.push("gpu".to_owned());
                request.capabilities = Some(vec![capabilities]);
            }
            "options" => {
                let fields =
                    csv::fields(value).map_err(|error| format!("failed to read gpu options: {error}"))?;
                let pair = |field: &String| match field.split_once('=') {
                    Some((key, value)) => (key.to_owned(), value.to_owned()),
                    None => (field.clone(), String::new()),
                };
                request.options = Some(fields.iter().map(pair).collect());
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.iter().any(|name| name == "count") && request.device_ids.is_none() {
        request.count = 1;
    }
    request.options.get_or_insert_with(BTreeMap::new);
    request.capabilities.get_or_insert_with(|| vec![vec!["gpu".to_owned()]]);
    Ok(request)
}

fn parse_count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse().map_err(|_| {
        format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax")
    })
}

/// `PATH:WEIGHT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Weights(pub(crate) Vec<WeightDevice>);

impl Value for Weights {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (path, weight) = device_and_value(text)?;
        let weight: u16 = weight.parse().map_err(|_| format!("invalid weight for device: {text}"))?;
        if weight > 0 && !(10..=1000).contains(&weight) {
            return Err(format!("invalid weight for device: {text}"));
        }
        self.0.push(WeightDevice { path: path.to_owned(), weight });
        Ok(())
    }
}

/// `PATH:BYTES`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateLimits(pub(crate) Vec<ThrottleDevice>);

impl Value for RateLimits {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (path, rate) = device_and_value(text)?;
        let fail = || {
            format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. \
                 Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
            )
        };
        let rate = units::parse_bytes(rate).map_err(|_| fail())?;
        self.0.push(ThrottleDevice { path: path.to_owned(), rate: u64::try_from(rate).map_err(|_| fail())? });
        Ok(())
    }
}

/// `PATH:OPERATIONS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IopsLimits(pub(crate) Vec<ThrottleDevice>);

impl Value for IopsLimits {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (path, rate) = device_and_value(text)?;
        let rate = rate.parse().map_err(|_| {
            format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
                 Number must be a positive integer"
            )
        })?;
        self.0.push(ThrottleDevice { path: path.to_owned(), rate });
        Ok(())
    }
}

fn device_and_value(text: &str) -> Result<(&str, &str), String> {
    let (path, value) = text.split_once(':').unwrap_or((text, ""));
    if path.is_empty() || !text.contains(':') {
        return Err(format!("bad format: {text}"));
    }
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// `NAME=SOFT[:HARD]`, sorted by name; of one name the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ulimits(pub(crate) BTreeMap<String, Ulimit>);

/// The names that there are.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Value for Ulimits {
    const KIND: &'static str = "ulimit";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let limit = parse_ulimit(text)?;
        self.0.insert(limit.name.clone(), limit);
        Ok(())
    }
}

fn parse_ulimit(text: &str) -> Result<Ulimit, String> {
    let Some((name, values)) = text.split_once('=') else {
        return Err(format!("invalid ulimit argument: {text}"));
    };
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let parts: Vec<&str> = values.split(':').collect();
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            format!("strconv.ParseInt: parsing {}: invalid syntax", crate::flags::value::quoted(text))
        })
    };
    let (soft, hard) = match parts[..] {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => {
            return Err(format!(
                "too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
            ));
        }
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        if soft == -1 {
            return Err(format!(
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {hard}"
            ));
        }
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// A capability in the form in which the kernel names it; the engine judges whether it exists.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a check")]
pub(crate) fn normal_capability(text: &str) -> Result<String, String> {
    let name = text.trim().to_uppercase();
    let is_whole = matches!(name.as_str(), "ALL" | "RESET") || name.starts_with("CAP_");
    Ok(if is_whole { name } else { format!("CAP_{name}") })
}

/// Checks a kernel parameter that a container may have of its own.
pub(crate) fn check_sysctl(text: &str) -> Result<String, String> {
    const NAMES: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    match text.split_once('=') {
        Some((name, _))
            if NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.") =>
        {
            Ok(text.to_owned())
        }
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}

/// Checks `TYPE MAJOR:MINOR PERMISSIONS`.
pub(crate) fn check_cgroup_rule(text: &str) -> Result<String, String> {
    let is_number =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let parts: Vec<&str> = text.split(' ').collect();
    let fits = match parts[..] {
        [kind, numbers, permissions] => {
            matches!(kind, "a" | "b" | "c")
                && numbers.split_once(':').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
                && (1..=3).contains(&permissions.len())
                && permissions.bytes().all(|b| b"rwm".contains(&b))
        }
        _ => false,
    };
    if fits { Ok(text.to_owned()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

/// `true` for some of `rwm`, each at most once.
fn is_device_mode(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b"rwm".contains(&b))
        && b"rwm".iter().all(|letter| text.bytes().filter(|b| b == letter).count() <= 1)
}

/// `--device PATH[:PATH-INSIDE][:rwm]`.
pub(crate) fn parse_device(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let bad_format = || format!("bad format for path: {text}");
    let (source, inside, mode) = match parts[..] {
        ["", ..] => return Err(bad_format()),
        [source] => (clean(source), clean(source), "rwm"),
        [source, mode] if is_device_mode(mode) => (clean(source), clean(source), mode),
        [source, inside] => (source.to_owned(), clean(inside), "rwm"),
        [source, inside, mode] if is_device_mode(mode) => (source.to_owned(), inside.to_owned(), mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(bad_format()),
    };
    if !inside.starts_with('/') {
        return Err(format!(
            "{} is not an absolute path",
            if inside.is_empty() { parts[0] } else { &inside }
        ));
    }
    Ok(DeviceMapping { path_on_host: source, path_in_container: inside, cgroup_permissions: mode.to_owned() })
}

fn clean(path: &str) -> String {
    super::mount::clean(std::path::Path::new(path))
}

/// `vendor.com/class=name`: a device of a Container Device Interface file.
pub(crate) fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str, more: &[u8]| {
        text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
            && text.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
    };
    word(vendor, b"-_.") && word(class, b"-_") && word(name, b"-_.:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpu_requests_become_json() {
        for (text, want) in [
            ("all", r#"{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}"#),
            ("2", r#"{"Driver":"","Count":2,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}"#),
            (
                "\"device=1,2\",driver=x",
                r#"{"Driver":"x","Count":0,"DeviceIDs":["1","2"],"Capabilities":[["gpu"]],"Options":{}}"#,
            ),
            (
                "capabilities=compute,options=a=b",
                r#"{"Driver":"","Count":1,"DeviceIDs":null,"Capabilities":[["compute","gpu"]],"Options":{"a":"b"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&parse_gpus(text).unwrap()).unwrap(), want, "{text}");
        }
        assert!(parse_gpus("count=1,count=2").is_err() && parse_gpus("x").is_err());
    }

    #[test]
    fn ulimits_are_checked() {
        let mut limits = Ulimits::default();
        for text in ["nofile=100:200", "core=-1", "nofile=5"] {
            limits.set(text).unwrap();
        }
        let limit = &limits.0["nofile"];
        assert_eq!((limit.soft, limit.hard), (5, 5));
        for (text, want) in [
            ("nofile", "invalid ulimit argument: nofile"),
            ("x=1", "invalid ulimit type: x"),
            ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            (
                "nofile=1:2:3",
                "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
            ),
            ("nofile=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(limits.set(text), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn devices_have_three_forms() {
        let read =
            |text| parse_device(text).map(|d| (d.path_on_host, d.path_in_container, d.cgroup_permissions));
        let device = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(read("/dev/a"), device("/dev/a", "/dev/a", "rwm"));
        assert_eq!(read("/dev/a:rw"), device("/dev/a", "/dev/a", "rw"));
        assert_eq!(read("/dev/a:/dev/b"), device("/dev/a", "/dev/b", "rwm"));
        assert_eq!(read("/dev/a:/dev/b:m"), device("/dev/a", "/dev/b", "m"));
        assert_eq!(read("dev/a"), Err("dev/a is not an absolute path".to_owned()));
        assert_eq!(read("/dev/a:/dev/b:x"), Err("bad mode specified: x".to_owned()));
        assert_eq!(read(":x"), Err("bad format for path: :x".to_owned()));
        assert!(is_cdi_name("nvidia.com/gpu=all") && !is_cdi_name("/dev/a=b"));
    }

    #[test]
    fn rates_weights_and_rules_are_checked() {
        let mut rates = RateLimits::default();
        rates.set("/dev/sda:1mb").unwrap();
        assert_eq!(rates.0[0].rate, 1 << 20);
        assert_eq!(rates.set("x:1"), Err("bad format for device path: x:1".to_owned()));
        assert_eq!(Weights::default().set("/dev/a:5"), Err("invalid weight for device: /dev/a:5".to_owned()));
        assert!(IopsLimits::default().set("/dev/a:1k").is_err());
        assert!(check_cgroup_rule("c 13:* rwm").is_ok() && check_cgroup_rule("c 13 rwm").is_err());
        assert!(check_sysctl("net.core.somaxconn=1").is_ok() && check_sysctl("kernel.panic=5").is_err());
    }
}
