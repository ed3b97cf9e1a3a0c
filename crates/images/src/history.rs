//! How an image was made.

use jiff::Timestamp;

use crate::image::{Image, ImageId};
use crate::store::Images;

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The image after this step, if it is here; Docker prints `<missing>` otherwise.
    pub id: Option<ImageId>,
    /// When.
    pub created: Option<Timestamp>,
    /// By which command.
    pub created_by: String,
    /// Names of that image.
    pub tags: Vec<String>,
    /// Bytes that the step added.
    pub size: u64,
    /// Message.
    pub comment: String,
}

impl Images {
    /// The steps of an image's making, the last one first.
    pub fn history(&self, image: &Image) -> Vec<Step> {
        let mut layers = image.layers.iter();
        let mut steps: Vec<Step> = image
            .config
            .history
            .iter()
            .map(|step| Step {
                id: None,
                created: step.created.as_deref().and_then(|time| time.parse().ok()),
                created_by: step.created_by.clone(),
                tags: Vec::new(),
                size: if step.empty_layer { 0 } else { layers.next().map_or(0, |layer| layer.size) },
                comment: step.comment.clone(),
            })
            .collect();
        steps.reverse();
        let index = self.index();
        let mut next = index.image_or_hidden(&image.id);
        for step in &mut steps {
            let Some(known) = next else { break };
            step.id = Some(known.id.clone());
            step.tags = known.repo_tags();
            next = known.parent.as_ref().and_then(|parent| index.image(parent));
        }
        steps
    }
}
