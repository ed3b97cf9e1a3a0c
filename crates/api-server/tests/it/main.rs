//! The API on the wire, against the whole daemon. The programs must be built:
//! `cargo build -p corten -p shim -p runtime`.

// `json!` of a whole configuration goes a level deeper per member.
#![recursion_limit = "512"]

mod client;
mod errors;
mod refusals;
mod scenario;
mod shapes;
mod streams;
mod wire;
