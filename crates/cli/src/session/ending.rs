//! How a container that we are attached to ends, whatever becomes of the daemon meanwhile.
//!
//! The streams are the shim's and live on when the daemon dies; only the answer to "how did it end" is lost with it.
//! So the question is asked again, of the next daemon, for as long as the streams are open, and for a short while
//! after that.

use std::cell::Cell;
use std::time::Duration;

use api_client::containers::{Wait, WaitCondition};
use api_client::{Client, ClientError};

use crate::error::{CommandError, OWN_FAILURE, Outcome};
use crate::ui::Ui;

/// Time between two questions while nobody answers.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the exit code of a container whose streams have ended is waited for while there is no daemon.
const PATIENCE: Duration = Duration::from_secs(10);

/// What there is to say when it is over.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Exit code.
    pub(crate) code: u8,
    /// Why it ended so, where the engine knows more than the code; else empty.
    pub(crate) explanation: String,
}

impl Ended {
    /// A code that explains itself.
    pub(crate) fn with(code: u8) -> Self {
        Self { code, explanation: String::new() }
    }

    /// Tells the explanation, if there is one; the command's outcome is the code.
    pub(crate) fn tell(self, ui: &mut Ui) -> Outcome {
        if !self.explanation.is_empty() {
            ui.tell(&self.explanation);
        }
        Ok(self.code)
    }
}

/// The end of one container.
pub(crate) struct Ending<'a> {
    engine: &'a Client,
    container: &'a str,
    /// It is removed when it ends, and we wait for that.
    removed: bool,
    streams_ended: Cell<bool>,
}

impl<'a> Ending<'a> {
    /// The end of `container`, on which a wait with this condition has been noted.
    pub(crate) fn new(engine: &'a Client, container: &'a str, condition: WaitCondition) -> Self {
        let removed = condition == WaitCondition::Removed;
        Self { engine, container, removed, streams_ended: Cell::new(false) }
    }

    /// Says that no more output will come.
    pub(crate) fn streams_ended(&self) {
        self.streams_ended.set(true);
    }

    /// Waits for it.
    pub(crate) async fn wait(&self, mut wait: Wait) -> Result<Ended, CommandError> {
        loop {
            match wait.result().await {
                Ok(answer) => {
                    return match answer.error {
                        Some(error) => Err(failed(format!("Error waiting for container: {}", error.message))),
                        // An exit code is what is left of it in eight bits.
                        None => Ok(Ended {
                            code: u8::try_from(answer.status_code & 0xff).unwrap_or(OWN_FAILURE),
                            explanation: answer.explanation,
                        }),
                    };
                }
                Err(lost @ ClientError::Transport { .. }) => wait = self.ask_again(&lost).await?,
                Err(error) => return Err(unknown(&error)),
            }
        }
    }

    async fn ask_again(&self, lost: &ClientError) -> Result<Wait, CommandError> {
        // It may have ended while nobody could tell.
        let condition = if self.removed { WaitCondition::Removed } else { WaitCondition::NotRunning };
        let mut alone = Duration::ZERO;
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.engine.wait_container(self.container, condition).await {
                Ok(wait) => return Ok(wait),
                Err(error) if error.is_unreachable() || matches!(error, ClientError::Transport { .. }) => {
                    alone += if self.streams_ended.get() { PAUSE } else { Duration::ZERO };
                    if alone >= PATIENCE {
                        return Err(unknown(lost));
                    }
                }
                Err(error) => return Err(unknown(&error)),
            }
        }
    }
}

fn unknown(why: &ClientError) -> CommandError {
    failed(format!("error waiting for container: {why}"))
}

fn failed(why: String) -> CommandError {
    CommandError::new(why).with_code(OWN_FAILURE)
}
