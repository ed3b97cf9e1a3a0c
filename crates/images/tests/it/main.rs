//! The image store against a real file system.

mod commit;
mod crash;
mod fixture;
mod hostile;
mod import;
mod load;
mod names;
mod prune;
mod save;
