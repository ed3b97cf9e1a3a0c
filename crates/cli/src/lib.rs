//! The `corten` command line.
//!
//! Commands are thin: they read flags, call the engine through `api-client` and print through [`ui::Ui`]. Nothing
//! here knows what an engine does; everything goes through the API, so every command works on a remote engine.
//!
//! - [`dispatch`]: from `argv` to a command; [`command`]: how one is run; `commands/`: one file for each
//! - [`flags`]: Docker's flag grammar and `--help`
//! - [`context`], [`config_file`]: the engine's address and the client's settings; [`autostart`]: starting an engine
//! - [`request`]: the flags of `run` and `create` become the body of a request
//! - [`session`]: attached streams, terminal, signals
//! - [`template`], [`table`], [`format`], [`units`]: what output is made of; [`time`]: `--since` and `--until`
//! - [`progress`]: what `load`, `import` and `pull` tell on the way; [`upload`], [`download`]: streams and files
#![forbid(unsafe_code)]

mod autostart;
mod command;
mod commands;
mod config_file;
mod context;
mod dispatch;
mod download;
mod error;
mod flags;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod progress;
mod request;
mod session;
mod table;
mod template;
mod time;
mod ui;
mod units;
mod upload;

pub use dispatch::main;
