//! Docker's `user[:group]` strings, resolved against `/etc/passwd` and `/etc/group` of a container's root.
//!
//! **Invariant:** both files are foreign input. They are opened beneath the root (no link leads out of it), are
//! regular files before a byte is read (opening a FIFO or a device node has effects), and are read up to 1 MiB.
//! A number in the user string always means an id, never an entry of that name (CVE-2016-3697), and an id outside
//! 0 … 2³¹−1 is refused wherever it comes from, so none can wrap around to root (CVE-2024-40635).

use std::fs::File;
use std::io::{self, Read};
use std::num::IntErrorKind;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A resolved identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups: the primary group first (a process that has changed its group must keep the rights
    /// *and the denials* of the first one, CVE-2022-36109), then those of the user's entry, then the extra ones.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the user has no entry.
    pub home: String,
}

/// Why a user string could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// An id, given or in an entry, that no container may have.
    #[error("uids and gids must be in range 0-2147483647")]
    OutOfRange,
    /// A file that is there but cannot be used.
    #[error("unable to find user {user}: cannot read {path} of the container")]
    Unreadable {
        /// The user string.
        user: String,
        /// `/etc/passwd` or `/etc/group`.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Resolves `user` (empty: root) and `extra_groups` in the root `root`.
///
/// As Docker does: `user` is `name`, `uid`, `name:group`, `uid:gid` and every mixture; a uid with an entry takes
/// that entry's group, supplementary groups and home; an explicit group leaves the supplementary groups of the
/// entry out. A file that is missing, or is no regular file, counts as empty.
pub fn resolve(root: BorrowedFd<'_>, user: &str, extra_groups: &[String]) -> Result<Identity, UserError> {
    let open = |path| {
        read_capped(root, path).map_err(|source| UserError::Unreadable {
            user: user.to_owned(),
            path,
            source,
        })
    };
    let (user_part, group_part) = user.split_once(':').unwrap_or((user, ""));
    let (wanted_user, wanted_group) = (Wanted::parse(user_part)?, Wanted::parse(group_part)?);

    let passwd = open("/etc/passwd")?;
    let mut identity = Identity { home: "/".into(), ..Identity::default() };
    let entry = passwd
        .lines()
        .filter_map(PasswdEntry::parse)
        .find(|entry| wanted_user.matches(entry.name, entry.uid));
    match (&entry, &wanted_user) {
        (Some(entry), _) => {
            (identity.uid, identity.gid) = (in_range(entry.uid)?, in_range(entry.gid)?);
            if !entry.home.is_empty() {
                identity.home = entry.home.to_owned();
            }
        }
        (None, Wanted::Unset) => {}
        (None, Wanted::Id(uid)) => identity.uid = *uid,
        (None, Wanted::Name(name)) => return Err(UserError::NoUser((*name).to_owned())),
    }

    let need_groups = entry.is_some() || !matches!(wanted_group, Wanted::Unset) || !extra_groups.is_empty();
    let group = if need_groups { open("/etc/group")? } else { String::new() };
    let groups: Vec<GroupEntry<'_>> = group.lines().filter_map(GroupEntry::parse).collect();
    let mut supplementary = Vec::new();
    match (&wanted_group, &entry) {
        (Wanted::Unset, Some(entry)) => {
            for group in groups.iter().filter(|group| group.has_member(entry.name)) {
                supplementary.push(in_range(group.gid)?);
            }
        }
        (Wanted::Unset, None) => {}
        (wanted, _) => identity.gid = find_group(wanted, &groups)?,
    }
    for name in extra_groups {
        supplementary.push(find_group(&Wanted::parse(name)?, &groups)?);
    }

    identity.groups.push(identity.gid);
    for gid in supplementary {
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    Ok(identity)
}

/// One half of a user string.
enum Wanted<'a> {
    Unset,
    Id(u32),
    Name(&'a str),
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Result<Self, UserError> {
        if text.is_empty() {
            return Ok(Self::Unset);
        }
        match number(text) {
            Some(id) => Ok(Self::Id(in_range(id)?)),
            None => Ok(Self::Name(text)),
        }
    }

    /// Whether an entry is meant. Nothing wanted means root's.
    fn matches(&self, name: &str, id: i64) -> bool {
        match self {
            Self::Unset => id == 0,
            Self::Id(wanted) => i64::from(*wanted) == id,
            Self::Name(wanted) => *wanted == name,
        }
    }
}

fn find_group(wanted: &Wanted<'_>, groups: &[GroupEntry<'_>]) -> Result<u32, UserError> {
    match wanted {
        Wanted::Id(gid) => Ok(*gid),
        Wanted::Name(name) => match groups.iter().find(|group| group.name == *name) {
            Some(group) => in_range(group.gid),
            None => Err(UserError::NoGroup((*name).to_owned())),
        },
        Wanted::Unset => Err(UserError::NoGroup(String::new())),
    }
}

/// A line of `/etc/passwd`, see passwd(5).
struct PasswdEntry<'a> {
    name: &'a str,
    uid: i64,
    gid: i64,
    home: &'a str,
}

impl<'a> PasswdEntry<'a> {
    /// A line whose user id is no number is no entry: read as 0, as Docker reads it, it would make a root of it.
    /// A group that is left out is 0, as with Docker; minimal images have such lines.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = number(fields.nth(1)?)?;
        let gid = match fields.next() {
            None | Some("") => 0,
            Some(gid) => number(gid)?,
        };
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }
}

/// A line of `/etc/group`, see group(5).
struct GroupEntry<'a> {
    name: &'a str,
    gid: i64,
    members: &'a str,
}

impl<'a> GroupEntry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = number(fields.nth(1)?)?;
        Some(Self { name, gid, members: fields.next().unwrap_or_default() })
    }

    fn has_member(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member == user)
    }
}

/// A decimal number; one that is too long for any id stays out of range instead of turning into a name.
fn number(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(i64::MAX),
        Err(error) if *error.kind() == IntErrorKind::NegOverflow => Some(i64::MIN),
        Err(_) => None,
    }
}

fn in_range(id: i64) -> Result<u32, UserError> {
    match u32::try_from(id) {
        Ok(id) if id <= i32::MAX.unsigned_abs() => Ok(id),
        _ => Err(UserError::OutOfRange),
    }
}

/// Reads a file of a container's root. Missing, or no regular file: empty.
fn read_capped(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    let Some(pinned) = pin(root, path)? else { return Ok(String::new()) };
    let stat = rustix::fs::fstat(&pinned)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Ok(String::new());
    }
    // The inode is pinned and known to be a regular file, so this open, through our own /proc, has no effects.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        File::from(rustix::fs::open(format!("/proc/self/fd/{}", pinned.as_raw_fd()), flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("file is larger than 1 MiB"));
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// An `O_PATH` handle of a path beneath `root`; none if there is no such file.
fn pin(root: BorrowedFd<'_>, path: &str) -> io::Result<Option<std::os::fd::OwnedFd>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed while the kernel walked (openat2(2)); in a live container that is no error.
    for _ in 0..32 {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => return Ok(Some(fd)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                return Ok(None);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(rustix::io::Errno::AGAIN.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// A root file system with the two files; gone on drop.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("corten-users-{}-{name}", std::process::id()));
            std::fs::create_dir_all(dir.join("etc")).unwrap();
            Self(dir)
        }
        fn with(name: &str, passwd: &str, group: &str) -> Self {
            let root = Self::new(name);
            root.file("etc/passwd", passwd.as_bytes());
            root.file("etc/group", group.as_bytes());
            root
        }
        fn file(&self, path: &str, content: &[u8]) {
            use std::io::Write;
            File::create(self.0.join(path)).unwrap().write_all(content).unwrap();
        }
        fn resolve(&self, user: &str, extra: &[&str]) -> Result<Identity, UserError> {
            let extra: Vec<String> = extra.iter().map(|&group| group.to_owned()).collect();
            resolve(File::open(&self.0).unwrap().as_fd(), user, &extra)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
web:x:101:102:Web server:/srv/web:/bin/false
  indented:x:103:103::/home/i:/bin/sh
1234:x:104:104::/home/numeric:/bin/sh
bare:x:105
broken:x:abc:106::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
hugegid:x:107:99999999999999999999::/:/bin/sh
negative:x:-1:0::/:/bin/sh
dup:x:101:7::/dup:/bin/sh
";
    const GROUP: &str = "root:x:0:root
# comment:x:1:web
audio:x:29:web,root
web:x:102:
video:x:44:other,web
twin:x:29:web
hugegroup:x:4294967296:
77:x:78:
";

    /// user, extra groups, uid, gid, groups, home
    type Case = (&'static str, &'static [&'static str], u32, u32, &'static [u32], &'static str);

    #[test]
    fn user_strings_resolve_as_docker_resolves_them() {
        let root = Root::with("table", PASSWD, GROUP);
        let cases: &[Case] = &[
            ("", &[], 0, 0, &[0, 29], "/root"),
            ("root", &[], 0, 0, &[0, 29], "/root"),
            (":web", &[], 0, 102, &[102], "/root"),
            ("web", &[], 101, 102, &[102, 29, 44], "/srv/web"),
            ("101", &[], 101, 102, &[102, 29, 44], "/srv/web"),
            ("+101", &[], 101, 102, &[102, 29, 44], "/srv/web"),
            ("web:audio", &[], 101, 29, &[29], "/srv/web"),
            ("web:", &[], 101, 102, &[102, 29, 44], "/srv/web"),
            ("web:55", &[], 101, 55, &[55], "/srv/web"),
            ("5000", &[], 5000, 0, &[0], "/"),
            ("5000:6000", &[], 5000, 6000, &[6000], "/"),
            ("5000:audio", &[], 5000, 29, &[29], "/"),
            ("5000:77", &[], 5000, 77, &[77], "/"),
            ("1234", &[], 1234, 0, &[0], "/"),
            ("indented", &[], 103, 103, &[103], "/home/i"),
            ("bare", &[], 105, 0, &[0], "/"),
            ("2147483647:2147483647", &[], 2_147_483_647, 2_147_483_647, &[2_147_483_647], "/"),
            ("web", &["9", "video", "root"], 101, 102, &[102, 29, 44, 9, 0], "/srv/web"),
            ("5000", &["audio"], 5000, 0, &[0, 29], "/"),
        ];
        for &(user, extra, uid, gid, groups, home) in cases {
            let expected = Identity { uid, gid, groups: groups.to_vec(), home: home.into() };
            assert_eq!(root.resolve(user, extra).unwrap(), expected, "user {user:?} groups {extra:?}");
        }
    }

    #[test]
    fn refusals_have_dockers_words() {
        let root = Root::with("refusals", PASSWD, GROUP);
        let range = "uids and gids must be in range 0-2147483647";
        let cases: &[(&str, &[&str], &str)] = &[
            ("nobody", &[], "unable to find user nobody: no matching entries in passwd file"),
            ("nobody:1", &[], "unable to find user nobody: no matching entries in passwd file"),
            ("broken", &[], "unable to find user broken: no matching entries in passwd file"),
            ("web:nogroup", &[], "unable to find group nogroup: no matching entries in group file"),
            ("0:0:0", &[], "unable to find group 0:0: no matching entries in group file"),
            ("web", &["nogroup"], "unable to find group nogroup: no matching entries in group file"),
            ("2147483648", &[], range),
            ("-1", &[], range),
            ("99999999999999999999", &[], range),
            ("0:2147483648", &[], range),
            ("0:-5", &[], range),
            ("huge", &[], range),
            ("hugegid", &[], range),
            ("negative", &[], range),
            ("web:hugegroup", &[], range),
            ("web", &["hugegroup"], range),
            ("web", &["4294967296"], range),
        ];
        for &(user, extra, message) in cases {
            assert_eq!(
                root.resolve(user, extra).unwrap_err().to_string(),
                message,
                "user {user:?} groups {extra:?}"
            );
        }
    }

    #[test]
    fn a_root_without_files_knows_only_numbers() {
        let root = Root::new("empty");
        assert_eq!(
            root.resolve("", &[]).unwrap(),
            Identity { groups: vec![0], home: "/".into(), ..Identity::default() }
        );
        assert_eq!(root.resolve("7:8", &["9"]).unwrap().groups, [8, 9]);
        assert!(matches!(root.resolve("web", &[]), Err(UserError::NoUser(_))));
        assert!(matches!(root.resolve("7:web", &[]), Err(UserError::NoGroup(_))));
    }

    #[test]
    fn special_files_count_as_empty_and_never_block() {
        let root = Root::new("special");
        rustix::fs::mkfifoat(rustix::fs::CWD, root.0.join("etc/passwd"), Mode::from_raw_mode(0o600)).unwrap();
        std::fs::create_dir(root.0.join("etc/group")).unwrap();
        assert_eq!(root.resolve("7:8", &[]).unwrap().uid, 7);
        assert!(matches!(root.resolve("web", &[]), Err(UserError::NoUser(_))));
    }

    #[test]
    fn links_stay_inside_the_root() {
        let root = Root::new("links");
        root.file("real", b"inside:x:42:43::/in:/bin/sh\n");
        symlink("../../../../real", root.0.join("etc/passwd")).unwrap();
        symlink("/etc/group-loop", root.0.join("etc/group-loop")).unwrap();
        symlink("/etc/group-loop", root.0.join("etc/group")).unwrap();
        assert_eq!(root.resolve("inside", &[]).unwrap().uid, 42);
        std::fs::remove_file(root.0.join("etc/passwd")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.0.join("etc/passwd")).unwrap();
        assert!(matches!(root.resolve("root", &[]), Err(UserError::NoUser(_))));
    }

    #[test]
    fn a_huge_file_is_refused_by_name() {
        let root = Root::with("huge", "", "");
        root.file("etc/group", "x".repeat(1 << 20 | 1).as_bytes());
        assert!(root.resolve("7", &[]).is_ok(), "the group file is not needed");
        let error = root.resolve("7:web", &[]).unwrap_err().to_string();
        assert_eq!(error, "unable to find user 7:web: cannot read /etc/group of the container");
    }

    #[test]
    fn bytes_that_are_not_utf8_do_no_harm() {
        let root = Root::new("latin1");
        root.file("etc/passwd", b"web:x:5:6:J\xfcrgen:/home/j\xfc:/bin/sh\n");
        assert_eq!((root.resolve("web", &[]).unwrap().uid, root.resolve("web", &[]).unwrap().gid), (5, 6));
    }
}
