//! `--security-opt`: what each option means.

use crate::error::{EngineError, Result};

/// Where a container's system call filter comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SeccompChoice {
    /// Nothing was said: the engine's own default.
    #[default]
    Default,
    /// The built-in profile.
    Builtin,
    /// No filter.
    Unconfined,
    /// The user's profile, as JSON.
    Profile(String),
}

/// The security options of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// System call filter.
    pub seccomp: SeccompChoice,
    /// `no-new-privileges`; none: the engine's default.
    pub no_new_privileges: Option<bool>,
    /// `socketcall=allow`: i386's one door to all socket calls stays open.
    pub allow_socketcall: Option<bool>,
    /// `writable-cgroups`: whether the container may make cgroups of its own; by default if it is privileged.
    pub writable_cgroups: Option<bool>,
    /// `systempaths=unconfined`: nothing masked, nothing read-only.
    pub systempaths_unconfined: bool,
}

/// Reads `HostConfig.SecurityOpt`.
pub fn parse(options: &[String]) -> Result<SecurityOptions> {
    let mut parsed = SecurityOptions::default();
    for option in options {
        apply(&mut parsed, option)?;
    }
    Ok(parsed)
}

fn apply(parsed: &mut SecurityOptions, option: &str) -> Result<()> {
    let invalid = || EngineError::invalid(format!("invalid --security-opt 2: {option:?}"));
    // Before API 1.23 the separator was a colon.
    let pair = option.split_once('=').or_else(|| option.split_once(':'));
    let Some((key, value)) = pair else {
        return match option {
            "no-new-privileges" => {
                parsed.no_new_privileges = Some(true);
                Ok(())
            }
            _ => Err(EngineError::invalid(format!("invalid --security-opt 1: {option:?}"))),
        };
    };
    match key {
        "seccomp" => {
            parsed.seccomp = match value {
                "unconfined" => SeccompChoice::Unconfined,
                "builtin" => SeccompChoice::Builtin,
                profile => SeccompChoice::Profile(profile.to_owned()),
            };
        }
        "no-new-privileges" => {
            parsed.no_new_privileges = Some(parse_bool(value).ok_or_else(invalid)?);
        }
        "writable-cgroups" => {
            parsed.writable_cgroups = Some(parse_bool(value).ok_or_else(invalid)?);
        }
        "socketcall" => {
            parsed.allow_socketcall = Some(match value {
                "allow" => true,
                "deny" => false,
                _ => return Err(invalid()),
            });
        }
        "systempaths" if value == "unconfined" => parsed.systempaths_unconfined = true,
        "label" => check_label(value, option)?,
        "apparmor" => check_apparmor(value)?,
        _ => return Err(invalid()),
    }
    Ok(())
}

/// Labels need SELinux; where the kernel has none, Docker takes them and does nothing, and so does this.
fn check_label(value: &str, option: &str) -> Result<()> {
    let known = matches!(value.split_once(':'), Some(("user" | "role" | "type" | "level" | "filetype", _)));
    if value == "disable" || (known && !std::path::Path::new("/sys/fs/selinux/enforce").exists()) {
        Ok(())
    } else if known {
        Err(EngineError::invalid(format!("{option:?}: SELinux labels are not there yet in this version")))
    } else {
        Err(EngineError::invalid(format!("invalid --security-opt 2: {option:?}")))
    }
}

fn check_apparmor(value: &str) -> Result<()> {
    if value == "unconfined" {
        Ok(())
    } else {
        Err(EngineError::invalid(format!(
            "AppArmor profile {value:?} cannot be applied: this version confines with seccomp and capabilities alone; leave the option out"
        )))
    }
}

fn parse_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(option: &str) -> std::result::Result<SecurityOptions, String> {
        parse(&[option.to_owned()]).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn options_are_read() {
        assert_eq!(one("no-new-privileges").unwrap().no_new_privileges, Some(true));
        assert_eq!(one("no-new-privileges:true").unwrap().no_new_privileges, Some(true));
        assert_eq!(one("no-new-privileges=false").unwrap().no_new_privileges, Some(false));
        assert_eq!(one("seccomp=builtin").unwrap().no_new_privileges, None);
        assert_eq!(one("seccomp=unconfined").unwrap().seccomp, SeccompChoice::Unconfined);
        assert_eq!(one("seccomp={\"a\":1}").unwrap().seccomp, SeccompChoice::Profile("{\"a\":1}".into()));
        assert_eq!(one("socketcall=allow").unwrap().allow_socketcall, Some(true));
        assert_eq!(one("writable-cgroups=false").unwrap().writable_cgroups, Some(false));
        assert!(one("label=disable").is_ok());
        assert!(one("apparmor=unconfined").is_ok());
    }

    #[test]
    fn unknown_options_are_refused_in_dockers_words() {
        assert_eq!(one("foo=bar").unwrap_err(), "invalid --security-opt 2: \"foo=bar\"");
        assert_eq!(one("foo").unwrap_err(), "invalid --security-opt 1: \"foo\"");
    }
}
