//! The API on the wire, against the whole daemon. The programs must be built:
//! `cargo build -p corten -p shim -p runtime`.

mod client;
mod errors;
mod scenario;
mod shapes;
mod streams;
