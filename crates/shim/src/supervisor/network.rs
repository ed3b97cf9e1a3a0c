//! A network namespace made before its container is known. Making one is the longest single step of a start.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::Spec;
use rustix::fs::{Mode, OFlags, open};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space};

use super::container::Failure;

const OWN: &str = "/proc/self/ns/net";

/// This process is in a network namespace that nobody else uses, its loopback interface up.
#[derive(Debug)]
pub(super) struct PreparedNetwork {
    /// The namespace that this process came from.
    host: OwnedFd,
}

impl PreparedNetwork {
    /// Makes it and moves this process into it.
    pub(super) fn make() -> io::Result<Self> {
        let host = open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        linux::namespaces::unshare(ThreadNameSpaceType::NETWORK)?;
        linux::namespaces::bring_up_loopback()?;
        Ok(Self { host })
    }

    /// Lets a container that is to have a new network namespace join this one: [`Self::leave`] when that is done.
    /// None: the container has no use for it, and this process has left already. One that belongs to a user namespace
    /// of the container's, for example, has to be made inside that.
    pub(super) fn give_to(self, spec: &mut Spec) -> Result<Option<Self>, Failure> {
        let namespaces = spec.linux.as_mut().map(|linux| &mut linux.namespaces);
        let namespaces =
            namespaces.filter(|namespaces| namespaces.iter().all(|namespace| namespace.kind != "user"));
        let wanted = namespaces.and_then(|namespaces| {
            namespaces.iter_mut().find(|namespace| namespace.kind == "network" && namespace.path.is_none())
        });
        match wanted {
            Some(namespace) => {
                namespace.path = Some(OWN.into());
                Ok(Some(self))
            }
            None => self.leave().map(|()| None),
        }
    }

    /// Moves this process back.
    pub(super) fn leave(self) -> Result<(), Failure> {
        move_into_link_name_space(self.host.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| Failure::new(format!("return to the host's network: {error}")))
    }
}
