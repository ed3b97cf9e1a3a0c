//! Archives and directories on a real file system.

mod extract;
mod kit;
mod pack;
