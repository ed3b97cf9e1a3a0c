//! The corten binary: command line and daemon in one.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let called = args.first().and_then(|name| Path::new(name).file_name());
    if called.is_some_and(|name| name == "dockerd") {
        return daemon::main(args);
    }
    if args.get(1).is_some_and(|word| word == "daemon") {
        return daemon::main(args.split_off(1));
    }
    cli::main(args.into_iter())
}
