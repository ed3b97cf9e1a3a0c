//! Groups, read from `/etc/group` by hand: a static binary has no look-up by libc.

use std::io;

/// Groups that get the unix sockets when none is named, the first that exists.
const DEFAULT_GROUPS: [&str; 2] = ["corten", "docker"];

/// Why there is no such group.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("group {0} not found in /etc/group")]
    NotFound(String),
    #[error("cannot read /etc/group: {0}")]
    Unreadable(#[from] io::Error),
}

/// The id of `wanted` (a name or a number), or of the default group; root's without either.
pub(crate) fn socket_group(wanted: Option<&str>) -> Result<u32, GroupError> {
    match std::fs::read_to_string("/etc/group") {
        Ok(groups) => choose(&groups, wanted),
        Err(error) if error.kind() == io::ErrorKind::NotFound => choose("", wanted),
        Err(error) => Err(error.into()),
    }
}

fn choose(groups: &str, wanted: Option<&str>) -> Result<u32, GroupError> {
    match wanted {
        Some(wanted) => wanted
            .parse()
            .ok()
            .or_else(|| find(groups, wanted))
            .ok_or_else(|| GroupError::NotFound(wanted.to_owned())),
        None => Ok(DEFAULT_GROUPS.iter().find_map(|name| find(groups, name)).unwrap_or(0)),
    }
}

fn find(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_group_gets_the_socket() {
        let both = "root:x:0:\ndocker:x:998:me\ncorten:x:997:\n";
        assert_eq!(choose(both, None).unwrap(), 997);
        assert_eq!(choose("root:x:0:\ndocker:x:998:\n", None).unwrap(), 998);
        assert_eq!(choose("root:x:0:\n", None).unwrap(), 0);
        assert_eq!(choose(both, Some("docker")).unwrap(), 998);
        assert_eq!(choose(both, Some("1234")).unwrap(), 1234);
        assert!(choose(both, Some("nobody")).is_err());
    }
}
