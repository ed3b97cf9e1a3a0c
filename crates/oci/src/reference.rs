//! Image names: Docker's grammar, its normal form and the short form that people see.
//!
//! ```text
//! busybox                     = docker.io/library/busybox        shown as busybox
//! reg:5000/team/web:1.2       = itself                           shown as itself
//! web@sha256:…                = docker.io/library/web@sha256:…   shown as web@sha256:…
//! ```
//!
//! **Invariant:** a [`Reference`] is in normal form: it has a domain, and a path of Docker Hub's own images has
//! `library/`. It carries no implied tag; [`Reference::with_default_tag`] adds `latest` where one is needed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The registry that a name without a domain means.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag that a name without tag or digest means.
pub const DEFAULT_TAG: &str = "latest";

const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// A name in normal form, with a tag, a digest, both or neither.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that names no image. The words are Docker's; clients match on them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Outside the grammar.
    #[error("invalid reference format")]
    Format,
    /// Upper case where only a domain may have it.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// Domain and path together are too long.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// 64 hexadecimal digits are an id, never a name.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// The part after `@` is of an algorithm that nobody offers.
    #[error("invalid reference format: unsupported digest algorithm")]
    DigestAlgorithm,
}

impl Reference {
    /// The registry, with its port if one was given.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people write it: `busybox`, `team/web`, `reg:5000/web`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(official) if !official.contains('/') => official.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        self.append_to(self.familiar_name())
    }

    /// The same reference, with `:latest` if it has neither tag nor digest.
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    fn append_to(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.append_to(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if is_id(text) {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (domain, remainder) = split_domain(rest);
        // A colon after the last slash of the remainder starts the tag; the domain's port is already gone.
        let (path, tag) = match remainder.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder.as_str(), None),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(path.to_owned()));
        }
        if !is_domain(&domain) || !is_path(path) || !tag.is_none_or(is_tag) {
            return Err(ReferenceError::Format);
        }
        if domain.len() + 1 + path.len() > NAME_MAX {
            return Err(ReferenceError::TooLong);
        }
        let digest = digest.map(parse_digest).transpose()?;
        Ok(Self { domain, path: path.to_owned(), tag: tag.map(str::to_owned), digest })
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether `text` can only be an id: 64 lower-case hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Splits a domain off the front. What comes before the first slash is a domain only if it could not be a part of
/// a Docker Hub path: it has a dot, a colon or upper case, or is `localhost`.
fn split_domain(text: &str) -> (String, String) {
    let (domain, remainder) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain };
    let official = domain == DEFAULT_DOMAIN && !remainder.contains('/');
    let remainder = if official { format!("{OFFICIAL}{remainder}") } else { remainder.to_owned() };
    (domain.to_owned(), remainder)
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    use crate::digest::DigestError;
    text.parse().map_err(|error| match error {
        DigestError::Algorithm(_) => ReferenceError::DigestAlgorithm,
        DigestError::Format(_) | DigestError::Length(_) => ReferenceError::Format,
    })
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_ipv6(address) => return port.is_empty() || is_port(port),
            _ => return false,
        },
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    (port.is_empty() || is_port(port)) && host.split('.').all(is_domain_component)
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn is_ipv6(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_domain_component(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Lower-case letters and digits, joined by one dot, one or two underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_one_normal_and_one_familiar_form() {
        for (text, normal, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("library/busybox", "docker.io/library/busybox", "busybox"),
            ("team/web", "docker.io/team/web", "team/web"),
            ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("localhost/x", "localhost/x", "localhost/x"),
            ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
            ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
            ("UP.com/x", "UP.com/x", "UP.com/x"),
            ("Up/x", "Up/x", "Up/x"),
            ("a__b", "docker.io/library/a__b", "a__b"),
            ("a---b", "docker.io/library/a---b", "a---b"),
            ("a/b/c:T_1", "docker.io/a/b/c:T_1", "a/b/c:T_1"),
            ("x.y/z", "x.y/z", "x.y/z"),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(reference.to_string(), normal, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn refusals_use_dockers_words() {
        let format = "invalid reference format";
        let id = "a".repeat(64);
        let id_text = format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings");
        let long = "a/".repeat(140) + "b";
        for (text, error) in [
            ("", format),
            (":x", format),
            ("x:", format),
            ("a//b", format),
            ("a:b:c", format),
            ("-a", format),
            ("a-", format),
            ("a___b", format),
            ("a.-b", format),
            ("a:.x", format),
            ("a@sha256:12", format),
            ("a b", format),
            ("./a", format),
            ("/a", format),
            ("Foo/Bar", "invalid reference format: repository name (Bar) must be lowercase"),
            ("FOO", "invalid reference format: repository name (library/FOO) must be lowercase"),
            ("UP.com/X", "invalid reference format: repository name (X) must be lowercase"),
            (&id, &id_text),
            (&long, "repository name must not be more than 255 characters"),
        ] {
            assert_eq!(text.parse::<Reference>().map_err(|e| e.to_string()), Err(error.into()), "{text:?}");
        }
    }

    #[test]
    fn latest_is_added_only_where_nothing_else_chooses() {
        let digest = Digest::sha256("x");
        for (text, expected) in [
            ("a".to_owned(), "a:latest".to_owned()),
            ("a:1".to_owned(), "a:1".to_owned()),
            (format!("a@{digest}"), format!("a@{digest}")),
            (format!("a:1@{digest}"), format!("a:1@{digest}")),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.with_default_tag().familiar(), expected);
        }
    }

    proptest! {
        #[test]
        fn normal_and_familiar_forms_mean_the_same(
            text in "([a-zA-Z0-9.-]{1,12}(:[0-9]{1,5})?/)?[a-z0-9._-]{1,12}(/[a-z0-9._-]{1,8}){0,2}(:[A-Za-z0-9_.-]{1,12})?"
        ) {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
                prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = text.parse::<Reference>();
        }
    }
}
