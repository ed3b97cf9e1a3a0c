//! Layers on disk and overlay snapshots: apply, diff, chain
