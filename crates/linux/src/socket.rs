//! Unix sockets: packets with file descriptors, names below a directory descriptor, what the peer has not read yet.
//!
//! Everything here is non-blocking (`EAGAIN` comes back as [`io::ErrorKind::WouldBlock`]) and never raises
//! `SIGPIPE`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, recvmsg,
    sendmsg, socket_with, socketpair,
};

/// Most descriptors that travel with one packet.
pub const MAX_FDS: usize = 4;

/// Two connected `SOCK_SEQPACKET` sockets, non-blocking and close-on-exec.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags(), None)?)
}

/// Sends one packet, and with it copies of `fds` (at most [`MAX_FDS`]).
pub fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // An empty SCM_RIGHTS message is refused by the kernel. The space is rounded up, so it may hold one too many.
    if fds.len() > MAX_FDS || !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one packet"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = retry(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one packet into `buffer`: its length and its descriptors; none when the peer has closed.
///
/// A packet that does not fit is an error, and its descriptors are closed.
pub fn receive_packet(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            // A peer that closed without reading all of what it was sent is an error of its own, told once and
            // before the packets that it had sent itself.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "packet is too large"));
    }
    Ok((message.bytes != 0).then_some((message.bytes, fds)))
}

/// A listening `SOCK_SEQPACKET` socket called `name` in `directory`, mode 0600. A stale one is replaced.
///
/// The name is bound through `/proc/self/fd/<directory>`, because a full path may exceed the 107 bytes that a
/// socket address holds.
pub fn listen_packets(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags(), None)?;
    // The mode of the unbound socket, less the umask, becomes that of the file.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address(directory, name)?)?;
    listen(&socket, 16)?;
    Ok(socket)
}

/// Connects to the `SOCK_SEQPACKET` socket called `name` in `directory`.
///
/// Does not wait: a listener whose backlog is full is [`io::ErrorKind::WouldBlock`].
pub fn connect_packets(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags(), None)?;
    retry(|| connect(&socket, &address(directory, name)?))?;
    Ok(socket)
}

/// How many sent bytes the peer of a stream socket has not taken yet (`SIOCOUTQ`; unix: not read, TCP: not
/// acknowledged).
pub fn unread_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: `socket` is borrowed, so it stays open; SIOCOUTQ (TIOCOUTQ by its other name) writes one int, to
    // `count`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

fn flags() -> SocketFlags {
    SocketFlags::CLOEXEC | SocketFlags::NONBLOCK
}

fn address(directory: BorrowedFd<'_>, name: &str) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_fd().as_raw_fd()))
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_packet_arrives_whole_with_its_descriptors() {
        let (left, right) = packet_pair().unwrap();
        let memfd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        send_packet(left.as_fd(), b"one", &[memfd.as_fd(), left.as_fd()]).unwrap();
        send_packet(left.as_fd(), b"two", &[]).unwrap();
        File::from(memfd).write_all(b"content").unwrap();

        let mut buffer = [0; 16];
        let (length, mut fds) = receive_packet(right.as_fd(), &mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..length], fds.len()), (&b"one"[..], 2));
        let mut file = File::from(fds.remove(0));
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        let (length, fds) = receive_packet(right.as_fd(), &mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..length], fds.len()), (&b"two"[..], 0));
    }

    #[test]
    fn nothing_there_would_block_and_a_closed_peer_is_the_end() {
        let (left, right) = packet_pair().unwrap();
        let mut buffer = [0; 16];
        let error = receive_packet(right.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(left);
        assert!(receive_packet(right.as_fd(), &mut buffer).unwrap().is_none());
        assert_eq!(send_packet(right.as_fd(), b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn packets_of_a_peer_that_closed_without_reading_ours_arrive() {
        let (left, right) = packet_pair().unwrap();
        send_packet(right.as_fd(), b"unread", &[]).unwrap();
        send_packet(left.as_fd(), b"last words", &[]).unwrap();
        drop(left);
        let mut buffer = [0; 16];
        assert_eq!(receive_packet(right.as_fd(), &mut buffer).unwrap().unwrap().0, 10);
        assert!(receive_packet(right.as_fd(), &mut buffer).unwrap().is_none());
    }

    #[test]
    fn a_packet_that_does_not_fit_or_carries_too_much_is_an_error() {
        let (left, right) = packet_pair().unwrap();
        send_packet(left.as_fd(), b"too long for it", &[]).unwrap();
        let error = receive_packet(right.as_fd(), &mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let fds = [left.as_fd(); MAX_FDS + 1];
        assert_eq!(send_packet(left.as_fd(), b"x", &fds).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_listener_deep_below_is_reached_through_its_directory() {
        let root = std::env::temp_dir().join(format!("corten-socket-{}", std::process::id()));
        let deep = root.join("a".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let directory = File::open(&deep).unwrap();
        for _ in 0..2 {
            let listener = listen_packets(directory.as_fd(), "s").unwrap();
            let client = connect_packets(directory.as_fd(), "s").unwrap();
            let server = rustix::net::accept(&listener).unwrap();
            send_packet(client.as_fd(), b"hello", &[]).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(receive_packet(server.as_fd(), &mut buffer).unwrap().unwrap().0, 5);
        }
        let error = connect_packets(directory.as_fd(), "s").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn unread_bytes_fall_to_zero_when_the_peer_reads() {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        left.write_all(b"head").unwrap();
        assert!(unread_bytes(left.as_fd()).unwrap() > 0);
        right.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(unread_bytes(left.as_fd()).unwrap(), 0);
    }
}
