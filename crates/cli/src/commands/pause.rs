//! `pause`: stops the processes of containers where they are.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui::Ui;

use super::each::{Done, each};

/// `pause`.
pub(crate) struct Pause;

impl Command for Pause {
    type Args = ();
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Pause all processes of containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let engine = context.engine(ui)?;
        each(&operands, ui, async |name: String| engine.pause_container(&name).await.map(|()| Done::Told))
            .await
    }
}
