//! The sockets that clients connect to.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use api_server::Listener;
use rustix::net::AddressFamily;

use crate::settings::Endpoint;

/// Longest path that a socket's address holds.
const LONGEST_ADDRESS: usize = 107;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot {what} {}: {source}", path.display())]
    Unix { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use: another daemon answers there", .0.display())]
    InUse(PathBuf),
    #[error("{} exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot listen on tcp://{address}: {source}")]
    Tcp { address: String, source: io::Error },
    #[error("{0:?} is not an address: names are not looked up, write the IP address")]
    NotAnAddress(String),
    #[error(
        "tcp://{0} is not encrypted, and whoever can reach it becomes root on this machine; allow it with --tls=false, \
         or listen on a loopback address"
    )]
    Exposed(SocketAddr),
    #[error("cannot take the service manager's sockets: {0}")]
    Inherited(io::Error),
    #[error("fd:// is given, but the service manager has passed no sockets")]
    NothingInherited,
}

/// Listening sockets. The files of unix sockets are removed with this value.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// To be served.
    pub(crate) listeners: Vec<Listener>,
    files: Vec<SocketFile>,
}

/// A socket's file, recognised by its inode: it may be another daemon's by the time we stop.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for file in &self.files {
            if fs::symlink_metadata(&file.path).is_ok_and(|metadata| metadata.ino() == file.inode) {
                let _ = fs::remove_file(&file.path);
            }
        }
    }
}

impl Sockets {
    /// Listens on every endpoint. Needs a runtime.
    pub(crate) fn listen(endpoints: &[Endpoint], group: u32, plain_tcp: bool) -> Result<Self, ListenError> {
        let mut sockets = Self::default();
        for endpoint in endpoints {
            match endpoint {
                Endpoint::Unix(path) => sockets.listen_unix(path, group)?,
                Endpoint::Tcp(address) => sockets.listen_tcp(address, plain_tcp)?,
                Endpoint::Inherited => sockets.listen_inherited()?,
            }
        }
        Ok(sockets)
    }

    fn listen_unix(&mut self, path: &Path, group: u32) -> Result<(), ListenError> {
        let failed = |what| move |source| ListenError::Unix { what, path: path.to_owned(), source };
        make_way(path)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed("make the directory of"))?;
        }
        let listener = bind(path).map_err(failed("listen on"))?;
        let inode = fs::symlink_metadata(path).map_err(failed("look at"))?.ino();
        self.files.push(SocketFile { path: path.to_owned(), inode });
        std::os::unix::fs::lchown(path, None, Some(group)).map_err(failed("change the group of"))?;
        fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(failed("change the mode of"))?;
        listener.set_nonblocking(true).map_err(failed("listen on"))?;
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed("listen on"))?;
        tracing::info!(socket = %path.display(), "listening");
        self.listeners.push(Listener::Unix(listener));
        Ok(())
    }

    fn listen_tcp(&mut self, address: &str, plain_tcp: bool) -> Result<(), ListenError> {
        let failed = |source| ListenError::Tcp { address: address.to_owned(), source };
        let parsed: SocketAddr = address
            .replace("localhost:", "127.0.0.1:")
            .parse()
            .map_err(|_| ListenError::NotAnAddress(address.to_owned()))?;
        if !parsed.ip().is_loopback() && !plain_tcp {
            return Err(ListenError::Exposed(parsed));
        }
        tracing::warn!(address = %parsed, "whoever can reach this unencrypted socket becomes root on this machine");
        let listener = TcpListener::bind(parsed).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        self.listeners.push(Listener::Tcp(listener));
        Ok(())
    }

    /// Sockets opened by systemd, as `sd_listen_fds(3)` passes them.
    fn listen_inherited(&mut self) -> Result<(), ListenError> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Err(ListenError::NothingInherited);
        }
        let count = number("LISTEN_FDS").filter(|count| *count > 0).ok_or(ListenError::NothingInherited)?;
        for socket in linux::activation::inherited_sockets(count).map_err(ListenError::Inherited)? {
            self.listeners.push(inherited(socket).map_err(ListenError::Inherited)?);
        }
        Ok(())
    }
}

fn inherited(socket: OwnedFd) -> io::Result<Listener> {
    rustix::io::ioctl_fionbio(socket.as_fd(), true)?;
    if rustix::net::sockopt::socket_domain(&socket)? == AddressFamily::UNIX {
        return Ok(Listener::Unix(tokio::net::UnixListener::from_std(socket.into())?));
    }
    Ok(Listener::Tcp(tokio::net::TcpListener::from_std(socket.into())?))
}

/// Removes a socket that a daemon left behind; refuses to take one that is answered.
fn make_way(path: &Path) -> Result<(), ListenError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(ListenError::Unix { what: "look at", path: path.to_owned(), source }),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    if short(path, |path| UnixStream::connect(path)).is_ok() {
        return Err(ListenError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| ListenError::Unix {
        what: "remove stale",
        path: path.to_owned(),
        source,
    })
}

/// Nobody but us can connect before group and mode are right, because the umask leaves nothing.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = short(path, |path| UnixListener::bind(path));
    rustix::process::umask(umask);
    listener
}

/// Runs `with` on a path that fits into an address: a long one is reached through its directory's descriptor.
fn short<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return with(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = linux::fs::open_dir(parent)?;
    with(&linux::fs::path_at(directory.as_fd(), name))
}
