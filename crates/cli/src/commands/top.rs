//! `top`: shows the processes of a container.

use std::io::Write;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::Order;
use crate::table;
use crate::ui::Ui;

/// Least width of a column.
const COLUMN: usize = 20;

/// `top`.
pub(crate) struct Top;

impl Command for Top {
    type Args = ();
    const USAGE: &'static str = "CONTAINER [ps OPTIONS]";
    const ABOUT: &'static str = "Show the running processes of a container";
    const ARITY: Arity = Arity::AtLeast(1);
    // What follows the container is for `ps`.
    const ORDER: Order = Order::FlagsFirst;

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let Some((container, arguments)) = operands.split_first() else { return Ok(0) };
        let top = context.engine(ui)?.top_container(container, &arguments.join(" ")).await?;
        let rows = std::iter::once(&top.titles).chain(&top.processes);
        let text: String = rows.map(|row| format!("{}\n", row.join("\t"))).collect();
        write!(ui.stdout(), "{}", table::align_from(COLUMN, &text))?;
        Ok(0)
    }
}
