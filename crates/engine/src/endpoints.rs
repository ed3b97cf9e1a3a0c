//! What a client asks of a container's place on a network: refused, as long as there are no networks to be on.
//!
//! Knows only requests; addresses and links of a real network are to come with the networks.

use api_types::network::{EndpointSettings, NetworkingConfig};

use crate::error::{EngineError, Result};

/// Refuses every setting that would have no effect.
pub(crate) fn check(networking: &NetworkingConfig, mac_address: &str) -> Result<()> {
    if !mac_address.is_empty() {
        return Err(without_network("a MAC address"));
    }
    networking.endpoints_config.iter().try_for_each(|(network, endpoint)| check_endpoint(network, endpoint))
}

fn check_endpoint(network: &str, endpoint: &EndpointSettings) -> Result<()> {
    let invalid = |why: &str| {
        EngineError::invalid(format!(
            "invalid config for network {network}: invalid endpoint settings:\n{why}"
        ))
    };
    let filled = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if let Some(ipam) = &endpoint.ipam_config {
        if !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty() {
            return Err(invalid("user specified IP address is supported on user defined networks only"));
        }
        if filled(&ipam.link_local_ips) {
            return Err(without_network("a link-local address"));
        }
    }
    if filled(&endpoint.aliases) {
        return Err(invalid("network-scoped aliases are only supported for user-defined networks"));
    }
    if filled(&endpoint.links) {
        return Err(without_network("links"));
    }
    if !endpoint.mac_address.is_empty() {
        return Err(without_network("a MAC address"));
    }
    if endpoint.driver_opts.as_ref().is_some_and(|options| !options.is_empty()) {
        return Err(without_network("driver options of a network"));
    }
    Ok(())
}

fn without_network(what: &str) -> EngineError {
    EngineError::invalid(format!("{what} cannot be set: this version has no network to set it on"))
}

#[cfg(test)]
mod tests {
    use api_types::network::EndpointIpamConfig;

    use super::*;

    #[test]
    fn what_would_have_no_effect_is_refused_and_an_empty_endpoint_is_not() {
        let ipam = |ipam| EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
        let address = EndpointIpamConfig { ipv4_address: "1.2.3.4".into(), ..EndpointIpamConfig::default() };
        let local =
            EndpointIpamConfig { link_local_ips: Some(vec!["a".into()]), ..EndpointIpamConfig::default() };
        let table = [
            (EndpointSettings::default(), None),
            (ipam(EndpointIpamConfig::default()), None),
            (ipam(address), Some("user specified IP address is supported on user defined networks only")),
            (ipam(local), Some("a link-local address")),
            (
                EndpointSettings { aliases: Some(vec!["db".into()]), ..EndpointSettings::default() },
                Some("network-scoped aliases"),
            ),
            (
                EndpointSettings { mac_address: "02::1".into(), ..EndpointSettings::default() },
                Some("a MAC address"),
            ),
        ];
        for (endpoint, words) in table {
            let shown = format!("{endpoint:?}");
            let networking = NetworkingConfig { endpoints_config: [("none".to_owned(), endpoint)].into() };
            match (check(&networking, ""), words) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => assert!(error.message().contains(words), "{}", error.message()),
                (outcome, _) => panic!("{shown}: {outcome:?}"),
            }
        }
        assert!(check(&NetworkingConfig::default(), "02:42::1").is_err());
    }
}
