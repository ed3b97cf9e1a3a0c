//! The store.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
const BUFFER: usize = 256 * 1024;

/// The blobs of one data root. Clones share the store.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    sha256: OwnedFd,
    sha512: OwnedFd,
    ingest: OwnedFd,
    next: AtomicU64,
}

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The store cannot be opened.
    #[error("cannot open the content store {}", path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such blob.
    #[error("no such content: {0}")]
    NotFound(Digest),
    /// Bytes that hash to something else than was promised.
    #[error("digest mismatch: expected {expected}, got {found}")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// More bytes than were promised.
    #[error("content {digest} is longer than the {limit} bytes it may have")]
    TooLong {
        /// What was promised.
        digest: Digest,
        /// How many bytes it may have.
        limit: u64,
    },
    /// The source of the bytes failed.
    #[error("cannot read the content's source")]
    Source(#[source] io::Error),
    /// The store failed.
    #[error("cannot {action} content {digest}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// With which blob.
        digest: Digest,
        /// Why it failed.
        source: io::Error,
    },
}

impl Store {
    /// Opens the store at `path` (`<data-root>/content`), making it if it is absent, and empties its ingest area.
    pub fn open(path: &Path) -> Result<Self, ContentError> {
        let fail = |source| ContentError::Open { path: path.to_owned(), source };
        let open = || -> io::Result<Inner> {
            for dir in ["", "blobs", "ingest"] {
                make_dir(&path.join(dir))?;
            }
            let blobs = |algorithm: Algorithm| {
                let dir = path.join("blobs").join(algorithm.as_str());
                make_dir(&dir)?;
                linux::fs::open_dir(&dir)
            };
            let ingest = linux::fs::open_dir(&path.join("ingest"))?;
            linux::fs::empty_tree(ingest.as_fd())?;
            let (sha256, sha512) = (blobs(Algorithm::Sha256)?, blobs(Algorithm::Sha512)?);
            Ok(Inner { path: path.to_owned(), sha256, sha512, ingest, next: AtomicU64::new(0) })
        };
        Ok(Self(Arc::new(open().map_err(fail)?)))
    }

    /// Stores `bytes` under their SHA-256, durably. A damaged blob of that name is replaced.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        let digest = Digest::sha256(bytes);
        if self.read(&digest).is_err() {
            self.take_in(bytes, &digest, bytes.len() as u64)?;
        }
        Ok(digest)
    }

    /// Stores what `source` gives, at most `limit` bytes, durably and only if it hashes to `expected`.
    pub fn ingest(&self, source: impl Read, expected: &Digest, limit: u64) -> Result<(), ContentError> {
        if self.contains(expected) { Ok(()) } else { self.take_in(source, expected, limit) }
    }

    fn take_in(&self, source: impl Read, expected: &Digest, limit: u64) -> Result<(), ContentError> {
        let name = self.0.next.fetch_add(1, Ordering::Relaxed).to_string();
        let outcome = self.receive(&name, source, expected, limit);
        if outcome.is_err() {
            // Litter is swept at the next start.
            let _ = rustix::fs::unlinkat(&self.0.ingest, &name, AtFlags::empty());
        }
        outcome
    }

    /// Whether the blob is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        rustix::fs::accessat(self.dir(digest), digest.hex(), Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(self.dir(digest), digest.hex(), flags, Mode::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::NOENT) => Err(ContentError::NotFound(digest.clone())),
            Err(error) => Err(failed("open", digest)(error.into())),
        }
    }

    /// A small blob's bytes, verified.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, ContentError> {
        let mut bytes = Vec::new();
        self.open_blob(digest)?.read_to_end(&mut bytes).map_err(failed("read", digest))?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found == *digest {
            Ok(bytes)
        } else {
            Err(ContentError::Mismatch { expected: digest.clone(), found })
        }
    }

    /// Removes a blob; absent is done.
    pub fn remove(&self, digest: &Digest) -> Result<(), ContentError> {
        match rustix::fs::unlinkat(self.dir(digest), digest.hex(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", digest)(error.into())),
        }
    }

    /// Removes every blob that `keep` does not name, and files that are none. Returns how many there were.
    pub fn sweep(&self, keep: impl Fn(&Digest) -> bool) -> Result<usize, ContentError> {
        let fail = |source| ContentError::Open { path: self.0.path.clone(), source };
        let mut removed = 0;
        for algorithm in ALGORITHMS {
            let dir = self.dir_of(algorithm);
            for entry in linux::fs::entries(dir.as_fd()).map_err(fail)? {
                let digest = entry
                    .name
                    .to_str()
                    .and_then(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok());
                if digest.is_none_or(|digest| !keep(&digest)) {
                    linux::fs::remove_tree(dir.as_fd(), &entry.name).map_err(fail)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn receive(
        &self,
        name: &str,
        mut source: impl Read,
        expected: &Digest,
        limit: u64,
    ) -> Result<(), ContentError> {
        let fail = |error: Errno| failed("store", expected)(error.into());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::RGRP | Mode::ROTH;
        let mut file = File::from(rustix::fs::openat(&self.0.ingest, name, flags, mode).map_err(fail)?);
        let mut hasher = Hasher::new(expected.algorithm());
        let mut buffer = vec![0; BUFFER];
        let mut received = 0;
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ContentError::Source(error)),
            };
            received += read as u64;
            if received > limit {
                return Err(ContentError::TooLong { digest: expected.clone(), limit });
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read]).map_err(failed("store", expected))?;
        }
        let found = hasher.finish();
        if found != *expected {
            return Err(ContentError::Mismatch { expected: expected.clone(), found });
        }
        file.sync_all().map_err(failed("store", expected))?;
        let dir = self.dir(expected);
        // Two writers of one blob have the same bytes, so the later rename changes nothing.
        rustix::fs::renameat(&self.0.ingest, name, dir, expected.hex()).map_err(fail)?;
        rustix::fs::fsync(dir).map_err(fail)
    }

    fn dir(&self, digest: &Digest) -> &OwnedFd {
        self.dir_of(digest.algorithm())
    }

    fn dir_of(&self, algorithm: Algorithm) -> &OwnedFd {
        match algorithm {
            Algorithm::Sha256 => &self.0.sha256,
            Algorithm::Sha512 => &self.0.sha512,
        }
    }
}

fn failed(action: &'static str, digest: &Digest) -> impl Fn(io::Error) -> ContentError {
    let digest = digest.clone();
    move |source| ContentError::Store { action, digest: digest.clone(), source }
}

fn make_dir(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("corten-content-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn ingests(&self) -> usize {
            std::fs::read_dir(self.0.join("ingest")).unwrap().count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_blob_is_found_under_its_digest_by_the_next_start() {
        let dir = Dir::new("put");
        let digest = Store::open(&dir.0).unwrap().put(b"hello").unwrap();
        let store = Store::open(&dir.0).unwrap();
        assert!(store.contains(&digest));
        assert_eq!(store.read(&digest).unwrap(), b"hello");
        store.remove(&digest).unwrap();
        store.remove(&digest).unwrap();
        assert!(matches!(store.read(&digest), Err(ContentError::NotFound(_))));
    }

    #[test]
    fn what_does_not_match_leaves_nothing() {
        let dir = Dir::new("mismatch");
        let store = Store::open(&dir.0).unwrap();
        let promised = Digest::sha256("other");
        let wrong = store.ingest(&b"hello"[..], &promised, 100);
        assert!(matches!(wrong, Err(ContentError::Mismatch { .. })));
        let long = store.ingest(&b"hello"[..], &Digest::sha256("hello"), 4);
        assert!(matches!(long, Err(ContentError::TooLong { .. })));
        let broken = store.ingest(b"he".chain(Broken), &Digest::sha256("hello"), 100);
        assert!(matches!(broken, Err(ContentError::Source(_))));
        assert_eq!(dir.ingests(), 0);
        assert_eq!(store.sweep(|_| false).unwrap(), 0);
    }

    #[test]
    fn a_start_sweeps_what_a_crash_left_and_damage_is_noticed() {
        let dir = Dir::new("sweep");
        let store = Store::open(&dir.0).unwrap();
        let (kept, gone) = (store.put(b"kept").unwrap(), store.put(b"gone").unwrap());
        drop(store);
        linux::fs::replace(&dir.0.join("ingest/7"), b"half").unwrap();
        linux::fs::replace(&dir.0.join("blobs/sha256/stray"), b"x").unwrap();
        linux::fs::replace(&dir.0.join("blobs/sha256").join(kept.hex()), b"damaged").unwrap();
        let store = Store::open(&dir.0).unwrap();
        assert_eq!(dir.ingests(), 0);
        assert_eq!(store.sweep(|digest| *digest == kept).unwrap(), 2);
        assert!(!store.contains(&gone));
        assert!(matches!(store.read(&kept), Err(ContentError::Mismatch { .. })));
        store.put(b"kept").unwrap();
        assert_eq!(store.read(&kept).unwrap(), b"kept");
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
}
