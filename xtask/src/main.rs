//! Automation and repository checks.
fn main() {}
