//! The image store against a real file system.

mod fixture;
mod import;
mod names;
