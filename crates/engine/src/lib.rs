//! Container life cycle: the one crate that joins stores, shim and runtime

pub mod capabilities;
