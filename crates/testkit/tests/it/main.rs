//! The test kit against the kernel.
mod sandbox;
