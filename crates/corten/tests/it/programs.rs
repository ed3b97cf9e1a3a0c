//! What is true of the programs themselves.

use testkit::binaries;

#[test]
fn every_program_is_static() {
    for name in binaries::NAMES {
        let program = binaries::program(name);
        let dynamic = binaries::wants_loader(&program).unwrap();
        assert!(!dynamic, "{} asks for a loader: was RUSTFLAGS set when it was built?", program.display());
    }
}

#[test]
fn every_program_answers_help_and_version() {
    let sandbox = testkit::Sandbox::new();
    for name in ["corten", "corten-runtime"] {
        sandbox.run(&format!("{name} --version")).stdout_has("version [..].[..].").exits(0);
        sandbox.run(&format!("{name} --help")).stdout_has("Usage:").exits(0);
    }
}
