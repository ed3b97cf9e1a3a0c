//! The commands, one file for each.

pub(crate) mod attach;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
mod each;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod tag;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod wait;
