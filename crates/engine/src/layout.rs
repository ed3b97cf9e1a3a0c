//! Paths on disk.
