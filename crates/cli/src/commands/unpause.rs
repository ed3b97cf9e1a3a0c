//! `unpause`: lets paused containers go on.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui::Ui;

use super::each::{Done, each};

/// `unpause`.
pub(crate) struct Unpause;

impl Command for Unpause {
    type Args = ();
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Let the processes of paused containers go on";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let engine = context.engine(ui)?;
        each(&operands, ui, async |name: String| engine.unpause_container(&name).await.map(|()| Done::Told))
            .await
    }
}
