//! Endpoint settings: a container on a network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Networks a new container joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// Settings by network name.
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// A container's endpoint on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// Requested addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    /// Links.
    pub links: Option<Vec<String>>,
    /// More names on this network.
    pub aliases: Option<Vec<String>>,
    /// MAC address.
    pub mac_address: String,
    /// Driver options.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// The endpoint with the highest priority is the default route.
    pub gw_priority: i64,
    /// Network's id.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// Endpoint's id.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// IPv4 prefix length.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// IPv6 prefix length.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Names that resolve to it.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Addresses asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointIpamConfig {
    /// IPv4.
    #[serde(rename = "IPv4Address", skip_serializing_if = "is_default")]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(rename = "IPv6Address", skip_serializing_if = "is_default")]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "crate::no_items")]
    pub link_local_ips: Option<Vec<String>>,
}

/// `NetworkSettings` of an inspected container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// Unused.
    pub bridge: String,
    /// Id of the network namespace.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// Path of the network namespace.
    pub sandbox_key: String,
    /// Published ports.
    pub ports: BTreeMap<String, Option<Vec<crate::host_config::PortBinding>>>,
    /// Unused.
    pub hairpin_mode: bool,
    /// Unused.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Unused.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    /// Unused.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<String>>,
    /// Unused.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<String>>,
    /// Of the default bridge.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Of the default bridge.
    pub gateway: String,
    /// Of the default bridge.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Of the default bridge.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Of the default bridge.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Of the default bridge.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// Of the default bridge.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// Of the default bridge.
    pub mac_address: String,
    /// By network name.
    pub networks: BTreeMap<String, EndpointSettings>,
}
