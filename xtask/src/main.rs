//! Repository checks: what the crates of this workspace promise each other, held by `cargo test`.
//!
//! `cargo xtask` runs the same checks and prints what each one found.
#![forbid(unsafe_code)]

mod checks;
mod licences;
mod tree;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let repository = tree::Repository::open();
    let mut out = std::io::stdout().lock();
    let mut sound = true;
    for (name, check) in checks::ALL {
        let found = check(&repository);
        sound &= found.is_empty();
        // A closed pipe is no reason to fail.
        let _ = writeln!(out, "{} {name}", if found.is_empty() { "ok    " } else { "not ok" });
        for line in found {
            let _ = writeln!(out, "       {line}");
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
