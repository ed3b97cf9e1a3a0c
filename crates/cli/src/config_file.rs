//! `config.json`: the client's settings, the file that Docker's own client uses.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Name of the file in the configuration directory.
const FILE_NAME: &str = "config.json";

/// The settings that we honour. Others are left to whoever wrote them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConfigFile {
    /// Headers for every request to the engine.
    #[serde(rename = "HttpHeaders")]
    pub(crate) http_headers: BTreeMap<String, String>,
    /// Format of `ps`.
    pub(crate) ps_format: String,
    /// Format of `images`.
    pub(crate) images_format: String,
    /// Filters of every `prune`, `label!=keep`.
    pub(crate) prune_filters: Vec<String>,
    /// Detach key sequence.
    pub(crate) detach_keys: String,
    /// Proxy variables for new containers, by engine; `default` for all.
    pub(crate) proxies: BTreeMap<String, Proxies>,
    /// Credentials by registry.
    pub(crate) auths: BTreeMap<String, Auth>,
}

/// Proxies that new containers are told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Proxies {
    /// For http.
    pub(crate) http_proxy: String,
    /// For https.
    pub(crate) https_proxy: String,
    /// Hosts that need none.
    pub(crate) no_proxy: String,
    /// For ftp.
    pub(crate) ftp_proxy: String,
    /// For everything.
    pub(crate) all_proxy: String,
}

/// Credentials of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Auth {
    /// `user:password` in base64.
    pub(crate) auth: String,
    /// Token instead of a password.
    pub(crate) identitytoken: String,
    /// Bearer token.
    pub(crate) registrytoken: String,
}

impl ConfigFile {
    /// Reads the file in `directory`; an absent one has no settings.
    pub(crate) fn load(directory: &Path) -> Result<Self, String> {
        let path = directory.join(FILE_NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                let path = path.display().to_string();
                return Err(format!(
                    "loading config file: {}",
                    crate::error::path_error("open", &path, &error)
                ));
            }
        };
        if text.is_empty() {
            return Ok(Self::default());
        }
        // Other clients write null for what they do not have.
        let parsed = serde_json::from_slice::<serde_json::Value>(&text).and_then(|mut value| {
            api_types::strip_nulls(&mut value);
            serde_json::from_value(value)
        });
        parsed.map_err(|error| format!("parsing config file ({}): {error}", path.display()))
    }

    /// The proxy variables for a new container on the engine at `host`, in both spellings.
    pub(crate) fn proxy_variables(&self, host: &str) -> Vec<(String, String)> {
        let Some(proxies) = self.proxies.get(host).or_else(|| self.proxies.get("default")) else {
            return Vec::new();
        };
        let all = [
            ("ALL_PROXY", &proxies.all_proxy),
            ("FTP_PROXY", &proxies.ftp_proxy),
            ("HTTPS_PROXY", &proxies.https_proxy),
            ("HTTP_PROXY", &proxies.http_proxy),
            ("NO_PROXY", &proxies.no_proxy),
        ];
        let set = all.into_iter().filter(|(_, value)| !value.is_empty());
        set.flat_map(|(name, value)| [name.to_owned(), name.to_lowercase()].map(|name| (name, value.clone())))
            .collect()
    }
}

/// The configuration directory: `--config`, `$DOCKER_CONFIG`, or `~/.docker`.
pub(crate) fn directory(flag: &str) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if !flag.is_empty() {
        return PathBuf::from(flag);
    }
    if let Some(directory) = variable("DOCKER_CONFIG") {
        return PathBuf::from(directory);
    }
    PathBuf::from(variable("HOME").unwrap_or_else(|| "/".into())).join(".docker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_unknown_ones_left_alone() {
        let directory = std::env::temp_dir().join(format!("corten-config-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let text =
            r#"{"psFormat":"x","auths":null,"credsStore":"y","proxies":{"default":{"httpProxy":"p"}}}"#;
        linux::fs::replace(&directory.join(FILE_NAME), text.as_bytes()).unwrap();
        let config = ConfigFile::load(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(config.ps_format, "x");
        let variables = config.proxy_variables("unix:///x");
        assert_eq!(
            variables,
            [("HTTP_PROXY", "p"), ("http_proxy", "p")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(ConfigFile::load(&directory), Ok(ConfigFile::default()));
    }
}
