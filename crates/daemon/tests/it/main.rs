//! The daemon as a process: sockets, files, signals. The programs must be built:
//! `cargo build -p corten -p shim -p runtime`.

mod configuration;
mod files;
mod sockets;
