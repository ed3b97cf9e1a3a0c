//! `rename`: gives a container another name.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::ui::Ui;

/// `rename`.
pub(crate) struct Rename;

impl Command for Rename {
    type Args = ();
    const USAGE: &'static str = "CONTAINER NEW_NAME";
    const ABOUT: &'static str = "Rename a container";
    const ARITY: Arity = Arity::Exactly(2);

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let [old, new] = operands.as_slice() else { return Ok(0) };
        let (old, new) = (old.trim(), new.trim());
        if old.is_empty() || new.is_empty() {
            return Err(CommandError::new("Error: Neither old nor new names may be empty"));
        }
        if let Err(error) = context.engine(ui)?.rename_container(old, new).await {
            ui.tell(&error.to_string());
            return Err(CommandError::new(format!("Error: failed to rename container named {old}")));
        }
        Ok(0)
    }
}
