//! `tag`: gives an image one more name.

use oci::reference::{Reference, ReferenceError};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::value::quoted;
use crate::ui::Ui;

/// `tag`.
pub(crate) struct Tag;

impl Command for Tag {
    type Args = ();
    const USAGE: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    const ABOUT: &'static str = "Give an image one more name";
    const ARITY: Arity = Arity::Exactly(2);

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let (source, target) = (operands[0].as_str(), operands[1].as_str());
        let bad = |name: &str, error: ReferenceError| {
            let name = quoted(name);
            CommandError::new(format!(
                "Error parsing reference: {name} is not a valid repository/tag: {error}"
            ))
        };
        if super::pull::parse_reference(source).is_err() {
            source.parse::<Reference>().map_err(|error| bad(source, error))?;
        }
        let reference: Reference = target.parse().map_err(|error| bad(target, error))?;
        if reference.digest().is_some() {
            return Err(CommandError::new("refusing to create a tag with a digest reference"));
        }
        let reference = reference.with_default_tag();
        let tag = reference.tag().unwrap_or_default();
        context.engine(ui)?.tag_image(source, &reference.familiar_name(), tag).await?;
        Ok(0)
    }
}
