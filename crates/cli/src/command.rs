//! What a command is, and how one is run: flags, operands, help, then the command itself.

use std::future::Future;

use crate::context::Context;
use crate::error::{CommandError, FAILURE, OWN_FAILURE, Outcome};
use crate::flags::{self, Order, Parsed, Tables, help};
use crate::ui::{self, Ui};

/// A command: its file in `commands/` implements this.
pub(crate) trait Command: 'static {
    /// Values of its flags.
    type Args: Default + 'static;

    /// Its flags.
    const FLAGS: Tables<Self::Args> = &[];
    /// What follows its name in the usage line, or in several.
    const USAGE: &'static str;
    /// What it does: a line, imperative, no full stop; and what else there is to say, after an empty line.
    const ABOUT: &'static str;
    /// How many operands it takes.
    const ARITY: Arity = Arity::Any;
    /// Where its flags may stand.
    const ORDER: Order = Order::Mixed;

    /// Does it. `invocation` is how the user named it.
    fn run(
        args: Self::Args,
        operands: Vec<String>,
        context: &Context,
        ui: &mut Ui,
    ) -> impl Future<Output = Outcome>;
}

/// How many operands a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// Whatever comes.
    Any,
    /// None.
    None,
    /// This many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
    /// From the first to the second.
    Between(usize, usize),
    /// This many or fewer.
    AtMost(usize),
}

impl Arity {
    /// Docker's words when `count` operands are not what the command takes.
    fn refuse(self, count: usize) -> Option<String> {
        let many = |number: usize| if number == 1 { "argument" } else { "arguments" };
        match self {
            Self::None if count > 0 => Some("accepts no arguments".to_owned()),
            Self::Exactly(want) if count != want => Some(format!("requires {want} {}", many(want))),
            Self::AtLeast(least) if count < least => {
                Some(format!("requires at least {least} {}", many(least)))
            }
            Self::Between(least, most) if count < least || count > most => {
                Some(format!("requires at least {least} and at most {most} {}", many(most)))
            }
            Self::AtMost(most) if count > most => Some(format!("requires at most {most} {}", many(most))),
            _ => None,
        }
    }
}

/// How a command was called: `docker container ls`.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// Program's name: `corten`, or `docker` when called by that name.
    pub(crate) program: &'static str,
    /// Its names, as the usage shows them.
    pub(crate) path: String,
    /// Every path that leads to it, for the help.
    pub(crate) aliases: Vec<String>,
}

impl Invocation {
    fn full(&self) -> String {
        format!("{} {}", self.program, self.path)
    }
}

/// Runs a command from its words; prints its failure; answers the exit code.
pub(crate) fn execute<C: Command>(
    invocation: &Invocation,
    words: &[String],
    context: &Context,
    ui: &mut Ui,
) -> u8 {
    let outcome = parse_and_run::<C>(invocation, words, context, ui);
    finish(outcome, ui)
}

/// Prints a failure; answers the exit code.
pub(crate) fn finish(outcome: Outcome, ui: &mut Ui) -> u8 {
    let outcome = outcome.and_then(|code| ui.flush().map(|()| code).map_err(CommandError::from));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            if !error.message.is_empty() {
                ui.tell(&error.message);
            }
            error.code
        }
    }
}

fn parse_and_run<C: Command>(
    invocation: &Invocation,
    words: &[String],
    context: &Context,
    ui: &mut Ui,
) -> Outcome {
    let mut args = C::Args::default();
    let parsed = flags::parse(C::FLAGS, words, C::ORDER, &mut args);
    let operands = match parsed {
        Ok(Parsed::Operands(operands)) => operands,
        Ok(Parsed::Help { short }) => {
            use std::io::Write;
            if short {
                writeln!(ui.stdout(), "Flag shorthand -h has been deprecated, use --help")?;
            }
            write!(ui.stdout(), "{}", help_text::<C>(invocation, ui::text_width()))?;
            return Ok(0);
        }
        Err(why) => return Err(usage_error::<C>(invocation, &why, "Run", OWN_FAILURE)),
    };
    if let Some(why) = C::ARITY.refuse(operands.len()) {
        let why = format!("{}: '{}' {why}", invocation.program, invocation.full());
        let verb = if matches!(C::ARITY, Arity::AtLeast(_)) { "See" } else { "Run" };
        return Err(usage_error::<C>(invocation, &why, verb, FAILURE));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(C::run(args, operands, context, ui));
    // A thread may still sit in a read of standard input; the process ends without waiting for it.
    runtime.shutdown_background();
    outcome
}

fn usage_error<C: Command>(invocation: &Invocation, why: &str, verb: &str, code: u8) -> CommandError {
    let full = invocation.full();
    let usage = usage_line::<C>(invocation);
    let message = format!("{why}\n\n{usage}\n\n{verb} '{full} --help' for more information");
    CommandError::new(message).with_code(code)
}

fn usage_line<C: Command>(invocation: &Invocation) -> String {
    let full = invocation.full();
    format!("Usage:  {full} {}", C::USAGE.replace('\n', &format!("\n\t{full} ")))
}

/// The text of `--help`.
pub(crate) fn help_text<C: Command>(invocation: &Invocation, width: usize) -> String {
    let mut text = format!("{}\n\n{}\n", usage_line::<C>(invocation), C::ABOUT);
    if invocation.aliases.len() > 1 {
        let names: Vec<String> =
            invocation.aliases.iter().map(|alias| format!("{} {alias}", invocation.program)).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    let flags = help::flags(C::FLAGS, width);
    if !flags.is_empty() {
        text.push_str(&format!("\nOptions:\n{flags}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_counted_in_dockers_words() {
        for (arity, count, want) in [
            (Arity::None, 1, Some("accepts no arguments")),
            (Arity::Exactly(1), 0, Some("requires 1 argument")),
            (Arity::Exactly(2), 1, Some("requires 2 arguments")),
            (Arity::AtLeast(1), 0, Some("requires at least 1 argument")),
            (Arity::AtLeast(2), 1, Some("requires at least 2 arguments")),
            (Arity::Between(1, 2), 0, Some("requires at least 1 and at most 2 arguments")),
            (Arity::Between(1, 2), 2, None),
            (Arity::AtMost(1), 2, Some("requires at most 1 argument")),
            (Arity::AtLeast(1), 5, None),
            (Arity::Any, 9, None),
        ] {
            assert_eq!(arity.refuse(count).as_deref(), want, "{arity:?} {count}");
        }
    }
}
