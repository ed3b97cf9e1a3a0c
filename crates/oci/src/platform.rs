//! Platforms: operating system, architecture and variant, in Go's words (`linux/arm/v7`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture, Go's name: `amd64`, `arm64`, `arm`, `386`, ….
    pub architecture: String,
    /// Operating system, Go's name: `linux`.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features the image needs of the operating system (Windows).
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text that is no platform. The words are containerd's, which Docker's clients show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// One word that is neither a system nor an architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// A first part with other characters, or none.
    #[error(
        "{part:?} is an invalid OS component of {text:?}: OSAndVersion specifier component must match \
         \"^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.%-]*)((?:\\\\+[A-Za-z0-9_.%-]+)*)\\\\))?$\": invalid argument"
    )]
    System {
        /// The part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// A later part with other characters, or none.
    #[error(
        "{part:?} is an invalid component of {text:?}: platform specifier component must match \
         \"^[A-Za-z0-9_.-]+$\": invalid argument"
    )]
    Part {
        /// The part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// More than system, architecture and variant.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    TooLong(String),
}

impl Platform {
    /// A platform without version, features or variant.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
    }

    /// The platform this program was built for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self::new("linux", architecture)
    }

    /// Whether an image of this platform runs on `host`, natively.
    pub fn runs_on(&self, host: &Platform) -> bool {
        let (mine, theirs) = (self.normal(), host.normal());
        if mine.os != theirs.os {
            return false;
        }
        match (mine.architecture.as_str(), theirs.architecture.as_str()) {
            ("386", "amd64") => true,
            ("arm", "arm64") => true,
            (a, b) if a != b => false,
            _ => mine.variant_level() <= theirs.variant_level(),
        }
    }

    /// Other spellings brought to the usual one: `x86_64` → `amd64`, `arm64/v8` → `arm64`.
    pub fn normal(&self) -> Self {
        let mut normal = self.clone();
        normal.os = self.os.to_ascii_lowercase();
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.as_deref().map(str::to_ascii_lowercase).filter(|v| !v.is_empty());
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64", None),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("i386" | "i486" | "i586" | "i686" | "386", _) => ("386", None),
            ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64", None),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            (other, variant) => (other, variant),
        };
        normal.variant = variant.map(str::to_owned);
        normal.architecture = architecture.to_owned();
        normal
    }

    fn variant_level(&self) -> u32 {
        let digits = self.variant.as_deref().unwrap_or("v0").trim_start_matches('v');
        digits.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let whole = || text.to_owned();
        let parts: Vec<&str> = text.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            let well_formed = !part.is_empty()
                && part.bytes().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-') || (b == b'.' && index > 0)
                });
            match index {
                _ if well_formed => {}
                0 => return Err(PlatformError::System { part: (*part).to_owned(), text: whole() }),
                _ => return Err(PlatformError::Part { part: (*part).to_owned(), text: whole() }),
            }
        }
        let platform = match parts[..] {
            [one] if is_known_os(one) => Self::new(one, Self::host().architecture),
            [one] if is_known_architecture(one) => Self::new("linux", one),
            [one] => return Err(PlatformError::Unknown(one.to_owned())),
            [os, architecture] => Self::new(os, architecture),
            [os, architecture, variant] => {
                Self { variant: Some(variant.to_owned()), ..Self::new(os, architecture) }
            }
            _ => return Err(PlatformError::TooLong(whole())),
        };
        Ok(platform.normal())
    }
}

fn is_known_architecture(text: &str) -> bool {
    matches!(
        Platform::new("linux", text).normal().architecture.as_str(),
        "386"
            | "amd64"
            | "arm"
            | "arm64"
            | "loong64"
            | "mips"
            | "mips64"
            | "mips64le"
            | "mipsle"
            | "ppc64"
            | "ppc64le"
            | "riscv64"
            | "s390x"
            | "wasm"
    )
}

fn is_known_os(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "linux"
            | "windows"
            | "darwin"
            | "freebsd"
            | "netbsd"
            | "openbsd"
            | "dragonfly"
            | "solaris"
            | "illumos"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_brought_to_gos_words() {
        let host = Platform::host().architecture;
        for (text, expected) in [
            ("linux/amd64", "linux/amd64".to_owned()),
            ("linux/x86_64", "linux/amd64".to_owned()),
            ("linux/arm64/v8", "linux/arm64".to_owned()),
            ("linux/arm", "linux/arm/v7".to_owned()),
            ("linux/arm/6", "linux/arm/v6".to_owned()),
            ("aarch64", "linux/arm64".to_owned()),
            ("linux", format!("linux/{host}")),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "/", "a/b/c/d", "linux/", "li nux/amd64"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn older_variants_run_on_newer_hosts() {
        let p = |text: &str| text.parse::<Platform>().unwrap();
        for (image, host, runs) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/386", "linux/amd64", true),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/arm/v6", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm64", true),
            ("linux/arm64", "linux/amd64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(p(image).runs_on(&p(host)), runs, "{image} on {host}");
        }
    }
}
