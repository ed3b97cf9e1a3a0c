//! Docker's flags and configuration keys that change nothing here: with these values they are already true.
//!
//! Other programs start `dockerd` with them. Each is warned about; a value that would ask for something else is an
//! error, never ignored. And keys that cannot be honoured yet: each is named in a warning.

use std::ffi::OsString;

/// A flag, by its long name, and why it is harmless.
struct Tolerated {
    name: &'static str,
    values: Values,
    because: &'static str,
}

/// Which values change nothing.
enum Values {
    /// A switch, on or off.
    Switch,
    /// A switch, only on.
    On,
    /// Anything.
    Any,
    /// One of these.
    Only(&'static [&'static str]),
}

const NO_CONTAINERD: &str = "no containerd is used";
const NO_PROXY: &str = "ports are published without a proxy process";
const HINT: &str = "transfers are scheduled by the engine";

const TABLE: &[Tolerated] = &[
    Tolerated { name: "containerd", values: Values::Any, because: NO_CONTAINERD },
    Tolerated { name: "containerd-namespace", values: Values::Any, because: NO_CONTAINERD },
    Tolerated { name: "containerd-plugins-namespace", values: Values::Any, because: NO_CONTAINERD },
    Tolerated { name: "userland-proxy", values: Values::Switch, because: NO_PROXY },
    Tolerated { name: "userland-proxy-path", values: Values::Any, because: NO_PROXY },
    Tolerated { name: "live-restore", values: Values::On, because: "containers always outlive the daemon" },
    Tolerated {
        name: "storage-driver",
        values: Values::Only(&["overlay2"]),
        because: "it is the only driver",
    },
    Tolerated { name: "log-driver", values: Values::Only(&["json-file"]), because: "it is the default" },
    Tolerated { name: "log-format", values: Values::Only(&["text"]), because: "it is the only format" },
    Tolerated {
        name: "default-runtime",
        values: Values::Only(&["runc"]),
        because: "the built-in runtime does it",
    },
    Tolerated {
        name: "exec-opt",
        values: Values::Only(&["native.cgroupdriver=cgroupfs"]),
        because: "it is the only driver",
    },
    Tolerated { name: "experimental", values: Values::Switch, because: "no feature is experimental" },
    Tolerated { name: "shutdown-timeout", values: Values::Any, because: "containers outlive the daemon" },
    Tolerated { name: "max-concurrent-downloads", values: Values::Any, because: HINT },
    Tolerated { name: "max-concurrent-uploads", values: Values::Any, because: HINT },
    Tolerated { name: "max-download-attempts", values: Values::Any, because: HINT },
];

/// Docker's keys that ask for what this version does not have; nothing is the less safe for it. Those of which that could
/// not be said (`tlsverify`, `userns-remap`, `authorization-plugins`) are unknown keys, and so errors.
const NOT_HONOURED: &[(&str, &[&str])] = &[
    (
        "this version has no bridge network",
        &[
            "allow-direct-routing",
            "bip",
            "bip6",
            "bridge",
            "default-address-pools",
            "default-gateway",
            "default-gateway-v6",
            "default-network-opts",
            "dns",
            "dns-opts",
            "dns-search",
            "firewall-backend",
            "fixed-cidr",
            "fixed-cidr-v6",
            "host-gateway-ip",
            "host-gateway-ips",
            "icc",
            "ip",
            "ip-forward",
            "ip-forward-no-drop",
            "ip-masq",
            "ip6tables",
            "iptables",
            "ipv6",
            "mtu",
        ],
    ),
    (
        "this version reaches no registry",
        &["http-proxy", "https-proxy", "insecure-registries", "no-proxy", "proxies", "registry-mirrors"],
    ),
    ("this version builds no images", &["builder"]),
    ("every container runs under the built-in runtime", &["runtimes"]),
    ("there is no swarm", &["node-generic-resources", "swarm-default-advertise-addr"]),
    ("no metrics are served", &["metrics-addr"]),
    ("there are no optional features", &["features"]),
];

/// A flag that cannot be what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value} is not supported: {allowed}")]
pub(crate) struct Unsupported {
    name: String,
    value: String,
    allowed: String,
}

/// Takes the tolerated flags out of `args`; what is to be said about each.
pub(crate) fn take_flags(args: Vec<OsString>) -> Result<(Vec<OsString>, Vec<String>), Unsupported> {
    let (mut rest, mut notes) = (Vec::with_capacity(args.len()), Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let text = if let Some(driver) = text.strip_prefix("-s") {
            format!(
                "--storage-driver{}{}",
                if driver.is_empty() { "" } else { "=" },
                driver.trim_start_matches('=')
            )
        } else {
            text.into_owned()
        };
        let (name, mut value) = match text.strip_prefix("--").map(|flag| flag.split_once('=')) {
            Some(Some((name, value))) => (name.to_owned(), Some(value.to_owned())),
            Some(None) => (text.trim_start_matches('-').to_owned(), None),
            None => (String::new(), None),
        };
        let Some(known) = TABLE.iter().find(|known| known.name == name) else {
            rest.push(arg);
            continue;
        };
        if value.is_none() && !known.is_switch() {
            value = args.next().map(|value| value.to_string_lossy().into_owned());
        }
        notes.push(known.check(&format!("--{name}"), value.as_deref().unwrap_or("true"))?);
    }
    Ok((rest, notes))
}

/// Takes the tolerated keys out of a configuration file; what is to be said about each.
pub(crate) fn take_keys(
    document: &mut serde_json::Map<String, serde_json::Value>,
) -> Result<Vec<String>, Unsupported> {
    let mut notes = Vec::new();
    for known in TABLE {
        // A flag that can be repeated is a list in the file, of the plural name.
        for name in [known.name.to_owned(), format!("{}s", known.name)] {
            let Some(value) = document.remove(&name) else { continue };
            let values = match value {
                serde_json::Value::Array(values) => values,
                other => vec![other],
            };
            for value in values {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                notes.push(known.check(&name, &text)?);
            }
        }
    }
    for (because, names) in NOT_HONOURED {
        for name in names.iter().filter(|name| document.remove(**name).is_some()) {
            notes.push(format!("{name} is not honoured: {because}"));
        }
    }
    Ok(notes)
}

impl Tolerated {
    fn is_switch(&self) -> bool {
        matches!(self.values, Values::Switch | Values::On)
    }

    fn check(&self, name: &str, value: &str) -> Result<String, Unsupported> {
        let on = matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True");
        let off = matches!(value, "false" | "0" | "f" | "F" | "FALSE" | "False");
        let allowed = match self.values {
            Values::Any => None,
            Values::Switch if on || off => None,
            Values::Switch => Some("it is true or false".to_owned()),
            Values::On if on => None,
            Values::On => Some(self.because.to_owned()),
            Values::Only(values) if values.contains(&value) => None,
            Values::Only(values) => Some(format!("only {} is, and {}", values.join(", "), self.because)),
        };
        match allowed {
            None => Ok(format!("{name} changes nothing: {}", self.because)),
            Some(allowed) => Err(Unsupported { name: name.to_owned(), value: value.to_owned(), allowed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(args: &[&str]) -> Result<(Vec<String>, usize), String> {
        let args = args.iter().map(OsString::from).collect();
        let (rest, notes) = take_flags(args).map_err(|error| error.to_string())?;
        Ok((rest.into_iter().map(|arg| arg.into_string().unwrap()).collect(), notes.len()))
    }

    #[test]
    fn harmless_flags_go_and_the_others_stay() {
        for (args, rest, notes) in [
            (&["--containerd", "/x", "--debug"][..], &["--debug"][..], 1),
            (&["--userland-proxy=false", "--data-root", "/x"], &["--data-root", "/x"], 1),
            (&["--userland-proxy", "-D", "--live-restore"], &["-D"], 2),
            (&["-s", "overlay2", "-soverlay2", "--storage-driver=overlay2"], &[], 3),
            (&["--bip", "10.0.0.1/8"], &["--bip", "10.0.0.1/8"], 0),
        ] {
            assert_eq!(take(args), Ok((rest.iter().map(ToString::to_string).collect(), notes)), "{args:?}");
        }
    }

    #[test]
    fn a_value_that_asks_for_something_else_is_an_error() {
        assert_eq!(
            take(&["--log-driver=syslog"]).unwrap_err(),
            "--log-driver=syslog is not supported: only json-file is, and it is the default"
        );
        assert!(take(&["--live-restore=false"]).is_err());
        assert!(take(&["--exec-opt", "native.cgroupdriver=systemd"]).is_err());
    }

    #[test]
    fn what_is_not_honoured_is_named_unless_safety_hangs_on_it() {
        let take = |text: &str| {
            let mut document = serde_json::from_str(text).unwrap();
            let notes = take_keys(&mut document).unwrap();
            (notes, document.len())
        };
        let (notes, left) = take(r#"{"bip":"10.0.0.1/8","registry-mirrors":["x"]}"#);
        assert_eq!(
            notes,
            [
                "bip is not honoured: this version has no bridge network",
                "registry-mirrors is not honoured: this version reaches no registry"
            ]
        );
        assert_eq!(left, 0);
        assert_eq!(take(r#"{"tlsverify":true,"userns-remap":"x"}"#), (vec![], 2));
    }
}
