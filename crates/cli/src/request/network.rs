//! Networks a container joins, and what its names and addresses there are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::network::{EndpointIpamConfig, EndpointSettings};

use super::csv;
use super::flags::ContainerArgs;
use crate::flags::value::{Value, quoted};

/// Stands for the engine's choice.
const DEFAULT: &str = "default";

/// One `--network`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    target: String,
    aliases: Vec<String>,
    driver_opts: BTreeMap<String, String>,
    links: Vec<String>,
    ipv4: String,
    ipv6: String,
    link_local: Vec<String>,
    mac: String,
    priority: i64,
}

/// The networks that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Attachment>);

impl Value for Networks {
    const KIND: &'static str = "network";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(if is_long_form(text) {
            parse(text)?
        } else {
            Attachment { target: text.to_owned(), ..Attachment::default() }
        });
        Ok(())
    }
}

/// True when somewhere a word character stands on either side of an equals sign.
fn is_long_form(text: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    text.as_bytes().windows(3).any(|w| w[1] == b'=' && is_word(&w[0]) && is_word(&w[2]))
}

fn parse(text: &str) -> Result<Attachment, String> {
    let mut attachment = Attachment::default();
    for field in csv::fields(text)? {
        let lower = field.to_lowercase();
        let (key, value) = match lower.split_once('=') {
            Some((key, value)) if !key.is_empty() => (key.trim(), value.trim().to_owned()),
            _ => return Err(format!("invalid field {field}")),
        };
        match key {
            "name" => attachment.target = value,
            "alias" => attachment.aliases.push(value),
            "ip" => attachment.ipv4 = value,
            "ip6" => attachment.ipv6 = value,
            "mac-address" => attachment.mac = value,
            "link-local-ip" => attachment.link_local.push(value),
            "driver-opt" => {
                let Some((name, value)) = value.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                    return Err("invalid key value pair format in driver options".to_owned());
                };
                attachment.driver_opts.insert(name.trim().to_owned(), value.trim().to_owned());
            }
            "gw-priority" => {
                attachment.priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if attachment.target.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(attachment)
}

/// A network that somebody made, as opposed to the engine's own modes.
fn is_user_defined(network: &str) -> bool {
    !matches!(network, "" | "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

/// The first network, which is the container's mode.
pub(crate) fn mode(args: &ContainerArgs) -> String {
    args.network.0.first().map_or_else(|| DEFAULT.to_owned(), |first| first.target.clone())
}

/// The endpoints of a new container.
pub(crate) fn endpoints(args: &ContainerArgs) -> Result<BTreeMap<String, EndpointSettings>, String> {
    let mut endpoints = BTreeMap::new();
    let attachments = &args.network.0;
    if attachments.is_empty() {
        let first = Attachment { target: DEFAULT.to_owned(), ..Attachment::default() };
        endpoints.insert(DEFAULT.to_owned(), endpoint(with_plain_flags(first, args)?)?);
        return Ok(endpoints);
    }
    for (index, attachment) in attachments.iter().enumerate() {
        let target = attachment.target.clone();
        // The flags from before `--network` had a long form speak of the first network.
        let attachment =
            if index == 0 { with_plain_flags(attachment.clone(), args)? } else { attachment.clone() };
        let settings = endpoint(attachment)?;
        if endpoints.contains_key(&target) {
            return Err(format!("network {} is specified multiple times", quoted(&target)));
        }
        // The engine makes the endpoint of a lone network itself.
        if attachments.len() == 1 && settings == EndpointSettings::default() {
            continue;
        }
        endpoints.insert(target, settings);
    }
    let user_defined = attachments.iter().filter(|attachment| is_user_defined(&attachment.target)).count();
    if user_defined > 0 && user_defined < attachments.len() {
        let text = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
        return Err(text.to_owned());
    }
    Ok(endpoints)
}

/// Adds `--network-alias`, `--link`, `--ip` and their like to the first network.
fn with_plain_flags(mut attachment: Attachment, args: &ContainerArgs) -> Result<Attachment, String> {
    let both = |flag: &str, own: &str| {
        Err(format!("conflicting options: cannot specify both {flag} and per-network {own}"))
    };
    if !attachment.aliases.is_empty() && !args.network_alias.is_empty() {
        return both("--network-alias", "alias");
    }
    if !attachment.links.is_empty() && !args.link.is_empty() {
        return both("--link", "links");
    }
    if !attachment.ipv4.is_empty() && !args.ip.is_empty() {
        return both("--ip", "IPv4 address");
    }
    if !attachment.ipv6.is_empty() && !args.ip6.is_empty() {
        return both("--ip6", "IPv6 address");
    }
    if !attachment.mac.is_empty() && !args.mac_address.is_empty() {
        return both("--mac-address", "MAC address");
    }
    if !attachment.link_local.is_empty() && !args.link_local_ip.is_empty() {
        return both("--link-local-ip", "link-local IP addresses");
    }
    attachment.aliases.extend_from_slice(&args.network_alias);
    // On the engine's own bridge a link is no alias but a property of the container.
    if is_user_defined(&attachment.target) {
        attachment.links.extend_from_slice(&args.link);
    }
    for (own, flag) in [
        (&mut attachment.ipv4, &args.ip),
        (&mut attachment.ipv6, &args.ip6),
        (&mut attachment.mac, &args.mac_address),
    ] {
        if !flag.is_empty() {
            flag.clone_into(own);
        }
    }
    attachment.link_local.extend_from_slice(&args.link_local_ip);
    Ok(attachment)
}

fn endpoint(attachment: Attachment) -> Result<EndpointSettings, String> {
    if attachment.target.trim().is_empty() {
        return Err("no name set for network".to_owned());
    }
    if !is_user_defined(&attachment.target) {
        if !attachment.aliases.is_empty() {
            return Err("network-scoped aliases are only supported for user-defined networks".to_owned());
        }
        if !attachment.links.is_empty() {
            return Err("links are only supported for user-defined networks".to_owned());
        }
    }
    if !attachment.mac.is_empty() {
        check_mac(&attachment.mac)?;
    }
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let has_addresses =
        !attachment.ipv4.is_empty() || !attachment.ipv6.is_empty() || !attachment.link_local.is_empty();
    Ok(EndpointSettings {
        gw_priority: attachment.priority,
        aliases: some(attachment.aliases),
        links: some(attachment.links),
        driver_opts: (!attachment.driver_opts.is_empty()).then_some(attachment.driver_opts),
        ipam_config: has_addresses.then_some(EndpointIpamConfig {
            ipv4_address: attachment.ipv4,
            ipv6_address: attachment.ipv6,
            link_local_ips: some(attachment.link_local),
        }),
        mac_address: attachment.mac,
        ..EndpointSettings::default()
    })
}

/// Refuses what is no MAC address of 6, 8 or 20 bytes, in colons, dashes or dots.
pub(crate) fn check_mac(text: &str) -> Result<(), String> {
    let trimmed = text.trim();
    let groups = |separator: char, digits: usize| {
        let parts: Vec<&str> = trimmed.split(separator).collect();
        let whole =
            parts.iter().all(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit()));
        whole.then_some(parts.len() * digits / 2)
    };
    let length = groups(':', 2).or_else(|| groups('-', 2)).or_else(|| groups('.', 4));
    match length {
        Some(6 | 8 | 20) => Ok(()),
        _ => Err(format!("{text} is not a valid mac address")),
    }
}

/// Checks an IP address; answers its canonical form.
pub(crate) fn check_ip(text: &str) -> Result<String, String> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// Checks a domain for `--dns-search`; `.` is one.
pub(crate) fn check_search_domain(text: &str) -> Result<String, String> {
    let domain = text.trim_matches(' ');
    if domain == "." {
        return Ok(domain.to_owned());
    }
    let bare = domain.trim_end().strip_suffix('.').unwrap_or(domain.trim_end());
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    let has_letter = domain.bytes().any(|b| b.is_ascii_alphabetic());
    if has_letter && bare.len() < 255 && bare.split('.').all(is_label) {
        return Ok(bare.to_owned());
    }
    Err(format!("{domain} is not a valid domain"))
}

/// Checks `NAME[:ALIAS]`.
pub(crate) fn check_link(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("empty string specified for links".to_owned());
    }
    if text.split(':').count() > 2 {
        return Err(format!("bad format for links: {text}"));
    }
    Ok(text.to_owned())
}

/// Checks `HOST:IP` or `HOST=IP`, also with brackets; answers the form that the engine takes.
pub(crate) fn check_extra_host(text: &str) -> Result<String, String> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((host, address)) = split.filter(|(host, _)| !host.is_empty() && !host.contains(':')) else {
        return Err(format!("bad format for add-host: {}", quoted(text)));
    };
    if address == "host-gateway" {
        return Ok(format!("{host}:{address}"));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if check_ip(bare).is_err() {
        return Err(format!("invalid IP address in add-host: {}", quoted(address)));
    }
    Ok(format!("{host}:{bare}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_have_two_forms() {
        for (text, want) in [
            ("a:1.2.3.4", "a:1.2.3.4"),
            ("a=1.2.3.4", "a:1.2.3.4"),
            ("a:::1", "a:::1"),
            ("a=[::1]", "a:::1"),
            ("a:host-gateway", "a:host-gateway"),
        ] {
            assert_eq!(check_extra_host(text), Ok(want.to_owned()), "{text}");
        }
        assert_eq!(check_extra_host("x"), Err("bad format for add-host: \"x\"".to_owned()));
        assert_eq!(check_extra_host("x:y"), Err("invalid IP address in add-host: \"y\"".to_owned()));
    }

    #[test]
    fn search_domains_are_checked() {
        assert_eq!(check_search_domain("example.com."), Ok("example.com".to_owned()));
        assert_eq!(check_search_domain("."), Ok(".".to_owned()));
        assert_eq!(check_search_domain("1"), Err("1 is not a valid domain".to_owned()));
        assert_eq!(check_search_domain("a..b"), Err("a..b is not a valid domain".to_owned()));
    }

    #[test]
    fn mac_addresses_are_checked() {
        for text in ["92:d0:c6:0a:29:33", "92-d0-c6-0a-29-33", "92d0.c60a.2933"] {
            assert_eq!(check_mac(text), Ok(()), "{text}");
        }
        assert_eq!(check_mac("x"), Err("x is not a valid mac address".to_owned()));
    }

    #[test]
    fn the_long_form_names_its_network() {
        let read = |text: &str| {
            let mut networks = Networks::default();
            networks.set(text).map(|()| networks.0.remove(0))
        };
        let long = read("name=n,alias=a,alias=b,ip=1.2.3.4,driver-opt=x=y,gw-priority=5").unwrap();
        assert_eq!((long.target.as_str(), long.aliases.len(), long.priority), ("n", 2, 5));
        assert_eq!(long.driver_opts["x"], "y");
        assert_eq!(read("foo=bar"), Err("invalid field key foo".to_owned()));
        assert_eq!(read("alias=a"), Err("network name/id is not specified".to_owned()));
        assert_eq!(read("name=").unwrap().target, "name=");
    }
}
