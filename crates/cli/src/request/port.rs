//! `--publish` and `--expose`: ports and ranges of ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::Empty;
use api_types::host_config::PortBinding;

/// The published ports, by `port/protocol`.
pub(crate) type Bindings = BTreeMap<String, Option<Vec<PortBinding>>>;

/// Reads all `--publish`.
pub(crate) fn publish(specs: &[String]) -> Result<Bindings, String> {
    let mut bindings = Bindings::new();
    for spec in specs {
        for (port, binding) in parse_publish(&plain_form(spec)?)? {
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    Ok(bindings)
}

/// `published=8080,target=80,protocol=udp` in the plain form.
fn plain_form(spec: &str) -> Result<String, String> {
    if !spec.contains('=') {
        return Ok(spec.to_owned());
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in spec.split(',') {
        match field.split_once('=') {
            Some(("published", value)) => published = value,
            Some(("target", value)) => target = value,
            Some(("protocol", value)) => protocol = value,
            Some((key, _)) if !key.is_empty() => {}
            _ => return Err(format!("invalid publish opts format (should be name=value but got '{field}')")),
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn parse_publish(spec: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let mut parts = spec.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();
    let (container, protocol) = match container.split_once('/') {
        Some((port, "")) => (port, "tcp"),
        Some((port, protocol)) => (port, protocol),
        None => (container, "tcp"),
    };
    if container.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let protocol = check_protocol(protocol)?;
    let address = check_address(address)?;
    let (start, end) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    let host_range = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
    };
    // One port of the container and a range of the host's: the engine chooses in the range.
    if let Some((first, last)) = host_range
        && last - first != end - start
        && end != start
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let binding = |index: u16| {
        let host_port = match host_range {
            None => String::new(),
            Some((first, last)) if start == end && first != last => format!("{first}-{last}"),
            Some((first, _)) => (first + index).to_string(),
        };
        PortBinding { host_ip: address.clone(), host_port }
    };
    Ok((0..=end - start).map(|index| (format!("{}/{protocol}", start + index), binding(index))).collect())
}

fn check_protocol(text: &str) -> Result<String, String> {
    let protocol = text.to_lowercase();
    match protocol.as_str() {
        "tcp" | "udp" | "sctp" => Ok(protocol),
        _ => Err(format!("invalid proto: {protocol}")),
    }
}

fn check_address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    Err(format!("invalid IP address: {text}"))
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some((start, end))
}

/// The ports that `--expose` declares, added to the published ones.
pub(crate) fn exposed(
    bindings: Option<&Bindings>,
    specs: &[String],
) -> Result<BTreeMap<String, Empty>, String> {
    let bound = bindings.into_iter().flat_map(BTreeMap::keys);
    let mut ports: BTreeMap<String, Empty> = bound.map(|port| (port.clone(), Empty {})).collect();
    for spec in specs {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        let (numbers, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let (start, end) = range(numbers).ok_or_else(|| {
            let bad = numbers.split('-').find(|part| part.parse::<u16>().is_err()).unwrap_or(numbers);
            let why = match bad.parse::<u64>() {
                Ok(_) if bad == numbers && !numbers.contains('-') => "value out of range",
                _ => "invalid syntax",
            };
            let bad = crate::flags::value::quoted(bad);
            format!(
                "invalid range format for --expose: {numbers}, error: strconv.ParseUint: parsing {bad}: {why}"
            )
        })?;
        ports.extend((start..=end).map(|port| (format!("{port}/{protocol}"), Empty {})));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_become_json() {
        for (spec, want) in [
            ("80", r#"{"80/tcp":[{"HostIp":"","HostPort":""}]}"#),
            ("8080:80", r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}"#),
            ("127.0.0.1::80/udp", r#"{"80/udp":[{"HostIp":"127.0.0.1","HostPort":""}]}"#),
            ("[::1]:1:80", r#"{"80/tcp":[{"HostIp":"::1","HostPort":"1"}]}"#),
            ("::1:1:80", r#"{"80/tcp":[{"HostIp":"::1","HostPort":"1"}]}"#),
            ("8000-9000:80", r#"{"80/tcp":[{"HostIp":"","HostPort":"8000-9000"}]}"#),
            (
                "81-82:91-92/TCP",
                r#"{"91/tcp":[{"HostIp":"","HostPort":"81"}],"92/tcp":[{"HostIp":"","HostPort":"82"}]}"#,
            ),
            ("published=8080,target=80,protocol=udp", r#"{"80/udp":[{"HostIp":"","HostPort":"8080"}]}"#),
        ] {
            let bindings = publish(&[spec.to_owned()]).unwrap_or_else(|error| panic!("{spec}: {error}"));
            assert_eq!(serde_json::to_string(&bindings).unwrap(), want, "{spec}");
        }
    }

    #[test]
    fn refusals_are_dockers() {
        for (spec, want) in [
            ("x", "invalid containerPort: x"),
            ("80/foo", "invalid proto: foo"),
            ("99999", "invalid containerPort: 99999"),
            ("a:80", "invalid hostPort: a"),
            ("1.1.1.1.1:80:80", "invalid IP address: 1.1.1.1.1"),
            ("1:2:3:4", "invalid IP address: 1:2"),
            ("1-2:3-5", "invalid ranges specified for container and host Ports: 3-5 and 1-2"),
            ("80:", "no port specified: 80:<empty>"),
            ("published", "invalid containerPort: published"),
            ("a=b,c", "invalid publish opts format (should be name=value but got 'c')"),
        ] {
            assert_eq!(publish(&[spec.to_owned()]), Err(want.to_owned()), "{spec}");
        }
    }

    #[test]
    fn exposed_ports_include_the_published_ones() {
        let bindings = publish(&["1:80".to_owned()]).unwrap();
        let ports = exposed(Some(&bindings), &["90-91/udp".to_owned(), "80".to_owned()]).unwrap();
        assert_eq!(ports.into_keys().collect::<Vec<_>>(), ["80/tcp", "90/udp", "91/udp"]);
        let want =
            "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax";
        assert_eq!(exposed(Some(&bindings), &["x".to_owned()]), Err(want.to_owned()));
    }
}
