//! `wait`: waits until containers have stopped; prints their exit codes.

use std::io::Write;

use api_client::containers::WaitCondition;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui::Ui;

use super::each::finish;

/// `wait`.
pub(crate) struct Wait;

impl Command for Wait {
    type Args = ();
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Wait until containers stop, then print their exit codes";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let engine = context.engine(ui)?;
        let mut failures = Vec::new();
        for container in &operands {
            let waited = match engine.wait_container(container, WaitCondition::NotRunning).await {
                Ok(wait) => wait.result().await,
                Err(error) => Err(error),
            };
            match waited {
                Ok(answer) => {
                    if let Some(error) = answer.error {
                        failures.push(error.message);
                        continue;
                    }
                    writeln!(ui.stdout(), "{}", answer.status_code)?;
                    ui.flush()?;
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        finish(failures)
    }
}
