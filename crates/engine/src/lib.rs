//! Container life cycle: the one crate that joins stores, shim and runtime
