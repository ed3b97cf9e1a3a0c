//! `rmi`: removes images, or names of images.

use std::io::Write;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::Outcome;
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;

use super::each::finish;
use super::pull::platform_json;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct RmiArgs {
    force: bool,
    no_prune: bool,
    platform: Vec<String>,
}

const FLAGS: &[Flag<RmiArgs>] = &[
    flag!(RmiArgs, force, 'f', "force", "Remove images that containers use or that have several names"),
    flag!(RmiArgs, no_prune, "no-prune", "Keep parents that no name is left for"),
    flag!(RmiArgs, platform as "strings", "platform", "Remove only this platform, os[/arch[/variant]]"),
];

/// `rmi`.
pub(crate) struct Rmi;

impl Command for Rmi {
    type Args = RmiArgs;
    const FLAGS: Tables<RmiArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ABOUT: &'static str = "Remove images, or names of images";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: RmiArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let words = args.platform.iter().flat_map(|list| list.split(','));
        let platforms = words.map(platform_json).collect::<Result<Vec<_>, _>>()?;
        let engine = context.engine(ui)?;
        let mut failures = Vec::new();
        let mut fatal = false;
        for image in &operands {
            match engine.remove_image(image, args.force, args.no_prune, &platforms).await {
                Ok(steps) => {
                    for step in steps {
                        match (step.deleted, step.untagged) {
                            (Some(id), _) => writeln!(ui.stdout(), "Deleted: {id}")?,
                            (None, name) => writeln!(ui.stdout(), "Untagged: {}", name.unwrap_or_default())?,
                        }
                    }
                }
                Err(error) => {
                    fatal |= !error.is_not_found();
                    failures.push(error.to_string());
                }
            }
        }
        if args.force && !fatal && !failures.is_empty() {
            // Gone is what was asked for.
            ui.tell(&failures.join("\n"));
            return Ok(0);
        }
        finish(failures)
    }
}
