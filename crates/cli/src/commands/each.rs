//! What commands that do the same with each of several containers have in common.

use std::io::Write;

use api_client::ClientError;
use futures_util::stream::{self, StreamExt};

use crate::error::{CommandError, FAILURE, Outcome};
use crate::ui::Ui;

/// How many at the same time.
const PARALLEL: usize = 50;

/// How one of them went.
pub(super) enum Done {
    /// Its name is printed.
    Told,
    /// There was nothing to do, which is no failure; why.
    Warned(String),
}

/// Does it with every operand, several at a time; prints each name, or collects its failure, in the given order.
pub(super) async fn each<F>(operands: &[String], ui: &mut Ui, act: impl Fn(String) -> F) -> Outcome
where
    F: Future<Output = Result<Done, ClientError>>,
{
    let mut results = stream::iter(operands.iter().cloned()).map(act).buffered(PARALLEL);
    let mut failures = Vec::new();
    for operand in operands {
        match results.next().await {
            Some(Ok(Done::Told)) => {
                writeln!(ui.stdout(), "{operand}")?;
                ui.flush()?;
            }
            Some(Ok(Done::Warned(why))) => ui.tell(&why),
            Some(Err(error)) => failures.push(error.to_string()),
            None => break,
        }
    }
    finish(failures)
}

/// Success, or all failures, one a line.
pub(super) fn finish(failures: Vec<String>) -> Outcome {
    match failures.is_empty() {
        true => Ok(0),
        false => Err(CommandError { message: failures.join("\n"), code: FAILURE }),
    }
}
