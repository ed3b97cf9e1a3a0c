//! Layers on a real file system, and under a real overlay mount.

mod gnu_tar;
mod kit;
mod overlay;
