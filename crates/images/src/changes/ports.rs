//! Ports of `EXPOSE`: `[[address:]host:]port[-port][/protocol]`, of which an image keeps the container's side.

use super::error::ChangeError;

/// The ports that a specification means, as `80/tcp`.
pub(super) fn parse(specification: &str) -> Result<Vec<String>, ChangeError> {
    let (rest, protocol) = match specification.split_once('/') {
        Some((rest, protocol)) if !protocol.is_empty() => (rest, protocol.to_ascii_lowercase()),
        Some((rest, _)) => (rest, "tcp".to_owned()),
        None => (specification, "tcp".to_owned()),
    };
    let range = rest.rsplit(':').next().unwrap_or_default();
    if range.is_empty() {
        return Err(ChangeError::NoPort(specification.to_owned()));
    }
    let invalid = || ChangeError::Port(range.to_owned());
    let port = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(range)?, port(range)?),
    };
    if last < first {
        return Err(invalid());
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(ChangeError::Protocol(protocol));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
