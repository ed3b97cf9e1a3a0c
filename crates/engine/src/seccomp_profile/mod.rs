//! Which system call filter a container gets: [`standard`], or a user's own in Docker's format, [`parse`]d.
//!
//! Pure: capabilities and kernel version in, the specification's `linux.seccomp` out. `seccomp=unconfined` is the
//! caller's: it asks for neither.

mod docker;
mod standard;
#[cfg(test)]
mod tests;

pub use docker::{Circumstances, ProfileError, parse};
pub use standard::standard;

/// Whether i386 programs may use `socketcall`, which no filter can look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Socketcall {
    /// For images of linux/386, or with an i386 loader: old C libraries have nothing else.
    Allow,
    /// ENOSYS: current C libraries use the direct calls.
    #[default]
    Deny,
}

/// First two numbers of a kernel's version; the others never decide about calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 6 of 6.18.
    pub version: u32,
    /// The 18 of 6.18.
    pub major: u32,
}

impl KernelVersion {
    /// From `uname -r`: `6.18.44-fc-v669`, `3.12-1-amd64`. One that cannot be read is 0.0, older than any.
    pub fn of_release(release: &str) -> Self {
        let mut numbers = release.splitn(3, '.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().unwrap_or(0)
        });
        Self { version: numbers.next().unwrap_or(0), major: numbers.next().unwrap_or(0) }
    }

    /// The running kernel's.
    pub fn of_this_host() -> Self {
        Self::of_release(&rustix::system::uname().release().to_string_lossy())
    }

    /// `4.8` and nothing else.
    fn exact(text: &str) -> Option<Self> {
        let (version, major) = text.split_once('.')?;
        let (version, major) = (version.parse().ok()?, major.parse().ok()?);
        (version <= 255 && major <= 255 && (version, major) != (0, 0)).then_some(Self { version, major })
    }
}
