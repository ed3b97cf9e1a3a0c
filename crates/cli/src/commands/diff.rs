//! `diff`: shows what a container changed in its files.

use std::io::Write;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::ui::Ui;

/// `diff`.
pub(crate) struct Diff;

impl Command for Diff {
    type Args = ();
    const USAGE: &'static str = "CONTAINER";
    const ABOUT: &'static str = "Show the files that a container added, changed or deleted";
    const ARITY: Arity = Arity::Exactly(1);

    async fn run((): (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let name = operands[0].as_str();
        if name.is_empty() {
            return Err(CommandError::new("invalid container name or ID: value is empty"));
        }
        for change in context.engine(ui)?.container_changes(name).await? {
            let kind = match change.kind {
                0 => "C",
                1 => "A",
                _ => "D",
            };
            writeln!(ui.stdout(), "{kind} {}", change.path)?;
        }
        Ok(0)
    }
}
