//! Handlers translate between HTTP and the engine, nothing more.

pub(crate) mod absent;
pub(crate) mod attach;
pub(crate) mod containers;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod space;
pub(crate) mod streams;
pub(crate) mod system;
