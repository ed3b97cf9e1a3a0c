//! Removing names and images, by Docker's rules.
//!
//! A name is removed alone while others are left. The last name goes with the image, unless a container uses it. An
//! id removes the image with all its names if they are of one repository. `force` overrides a stopped container and
//! several names, never a running container and never images built on this one.

use std::collections::HashSet;

use oci::image::chain_ids;
use oci::reference::{Reference, ReferenceError};

use crate::image::{Image, ImageId};
use crate::index::Index;
use crate::resolve::ResolveError;
use crate::rows;
use crate::store::{Images, StoreError};

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// Its id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// Asks which container uses an image; a running one is preferred. Called with the store locked against changes, so it
/// must not add, tag or remove images itself; asking for images is fine.
pub type UsedBy<'a> = &'a dyn Fn(&ImageId) -> Option<ImageUser>;

/// What was removed, in order; each is a line of Docker's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name: `busybox:latest`.
    Untagged(String),
    /// An image, or a chain of layers that no image has any more, by its digest.
    Deleted(String),
}

/// Why nothing, or not everything, was removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is no such image.
    #[error(transparent)]
    NotFound(#[from] ResolveError),
    /// Something is in the way. The words are Docker's.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an image must stay.
struct Conflict {
    /// Force does not help.
    hard: bool,
    /// A container is the reason.
    used: bool,
    reason: String,
}

impl Conflict {
    fn error(&self, id: &ImageId) -> RemoveError {
        let force = if self.hard { "cannot be forced" } else { "must be forced" };
        RemoveError::Conflict(format!("unable to delete {} ({force}) - {}", id.short(), self.reason))
    }
}

/// Which conflicts are looked for.
#[derive(Clone, Copy)]
struct Checks {
    soft: bool,
    named: bool,
}

impl Images {
    /// Removes the image or name `text`. With `prune_children`, parents that are left without name and child go too.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        prune_children: bool,
        used_by: UsedBy<'_>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let mut removed = Vec::new();
        let mut detached = Vec::new();
        {
            let _changing = self.changing();
            let image = self.resolve(text)?;
            let mut removal =
                Removal { images: self, used_by, removed: &mut removed, detached: &mut detached };
            removal.run(&image, text, force, prune_children)?;
        }
        // Deleting files takes long; others need not wait for it.
        drop(detached);
        Ok(removed)
    }

    /// Removes for good what was removed while a container used it and is used no more. To be called at start, when
    /// the containers are known, and after a container is removed.
    pub fn collect(&self, used_by: UsedBy<'_>) -> Result<(), StoreError> {
        // Nearly always there is nothing to do, and then this costs a read lock.
        if self.index().hidden().next().is_none() {
            return Ok(());
        }
        let mut detached = Vec::new();
        {
            let _changing = self.changing();
            let not_held: Vec<ImageId> = {
                let index = self.index();
                let ids = index.hidden().map(|image| image.id.clone());
                ids.filter(|id| !index.held_images.contains(id)).collect()
            };
            for id in not_held.iter().filter(|id| used_by(id).is_none()) {
                detached.extend(self.delete_rows(id)?);
            }
        }
        drop(detached);
        Ok(())
    }

    /// Removes an image's rows, then its shadows. The caller holds the lock.
    fn delete_rows(&self, id: &ImageId) -> Result<Vec<snapshots::layers::Detached>, StoreError> {
        let pinned: HashSet<_> = {
            let index = self.index();
            let held = index.hidden().chain(index.images()).filter(|image| image.id == *id);
            held.flat_map(|image| &image.layers)
                .map(|layer| layer.diff_id.clone())
                .filter(|diff_id| index.pinned_layers.contains(diff_id))
                .collect()
        };
        let row = id.clone();
        let unused = self.database().write_durable(move |tx| {
            rows::remove_image(tx, &row)?;
            rows::remove_unused_layers(tx, |diff_id| pinned.contains(diff_id))
        })?;
        self.index_mut().remove_image(id);
        if let Err(error) = self.content().remove(id.digest()) {
            tracing::warn!(image = %id, %error, "cannot remove an image's configuration");
        }
        Ok(self.detach_layers(&unused))
    }
}

/// One removal. Whoever makes one holds the store's lock against changes.
pub(crate) struct Removal<'a> {
    pub(crate) images: &'a Images,
    pub(crate) used_by: UsedBy<'a>,
    pub(crate) removed: &'a mut Vec<Removed>,
    /// What is to be deleted from the disk, after the lock.
    pub(crate) detached: &'a mut Vec<snapshots::layers::Detached>,
}

impl Removal<'_> {
    fn run(&mut self, image: &Image, text: &str, force: bool, prune: bool) -> Result<(), RemoveError> {
        let mut name_removed = false;
        if image.id.starts_with(text) {
            if is_one_repository(&image.names) {
                let checks = Checks { soft: !force, named: false };
                if let Some(conflict) = self.conflict(&image.id, checks) {
                    return Err(conflict.error(&image.id));
                }
                for name in &image.names {
                    self.untag(name)?;
                }
            }
        } else {
            if !force && is_one_repository(&image.names) {
                self.refuse_to_orphan(image, text)?;
            }
            let name: Reference = text.parse().map_err(|error: ReferenceError| ResolveError::from(error))?;
            self.untag_with_digests(&image.id, &name.with_default_tag())?;
            if self.current_names(&image.id).is_empty() {
                name_removed = true;
            } else {
                return Ok(());
            }
        }
        self.delete(&image.id, force, prune, name_removed)
    }

    /// Removes an image with all its names, and no other.
    pub(crate) fn whole(&mut self, image: &Image) -> Result<(), RemoveError> {
        image.names.iter().try_for_each(|name| self.untag(name))?;
        self.delete(&image.id, false, false, false)
    }

    /// A container would be left with an image that has no name.
    fn refuse_to_orphan(&self, image: &Image, text: &str) -> Result<(), RemoveError> {
        match (self.used_by)(&image.id) {
            None => Ok(()),
            Some(user) => Err(RemoveError::Conflict(format!(
                "unable to remove repository reference {text:?} (must force) - container {} is using its \
                 referenced image {}",
                short(&user.container),
                image.id.short()
            ))),
        }
    }

    fn delete(&mut self, id: &ImageId, force: bool, prune: bool, quiet: bool) -> Result<(), RemoveError> {
        let checks = Checks { soft: !force, named: !force };
        if let Some(conflict) = self.conflict(id, checks) {
            // Whoever removed a name got what was asked for; only an image without name and use is told about.
            let dangling = {
                let index = self.images.index();
                names_of(&index, id).is_empty() && index.children(id).next().is_none()
            };
            return if quiet && (!dangling || conflict.used) { Ok(()) } else { Err(conflict.error(id)) };
        }
        let Some(image) = self.images.get(id) else { return Ok(()) };
        for name in &image.names {
            self.untag(name)?;
        }
        let chains = self.chains_only_of(&image);
        // In this order: whoever drops a hold has become a user before.
        let held = self.images.index().held_images.contains(id);
        let kept = held || (self.used_by)(id).is_some();
        if kept {
            let row = id.clone();
            let hidden = self.images.database().write_durable(move |tx| rows::hide_image(tx, &row));
            hidden.map_err(StoreError::from)?;
            self.images.index_mut().hide(id);
            self.removed.push(Removed::Deleted(id.to_string()));
        } else {
            self.detached.extend(self.images.delete_rows(id)?);
            self.removed.push(Removed::Deleted(id.to_string()));
            self.removed.extend(chains.into_iter().map(Removed::Deleted));
        }
        match &image.parent {
            Some(parent) if prune && self.images.index().image(parent).is_some() => {
                self.delete(parent, false, true, true)
            }
            _ => Ok(()),
        }
    }

    /// Chains of layers that only this image has, uppermost first.
    fn chains_only_of(&self, image: &Image) -> Vec<String> {
        let index = self.images.index();
        let others: HashSet<_> = index
            .images()
            .chain(index.hidden())
            .filter(|other| other.id != image.id)
            .flat_map(|other| chain_ids(&other.config.rootfs.diff_ids))
            .collect();
        let mine = chain_ids(&image.config.rootfs.diff_ids);
        mine.into_iter()
            .rev()
            .filter(|chain| !others.contains(chain))
            .map(|chain| chain.to_string())
            .collect()
    }

    fn conflict(&self, id: &ImageId, checks: Checks) -> Option<Conflict> {
        // Asked first: the caller takes locks of its own, under which it may ask for images.
        let user = (self.used_by)(id);
        let index = self.images.index();
        if index.children(id).next().is_some() {
            return Some(Conflict {
                hard: true,
                used: false,
                reason: "image has dependent child images".to_owned(),
            });
        }
        if let Some(user) = user.as_ref().filter(|user| user.running) {
            let reason = format!("image is being used by running container {}", short(&user.container));
            return Some(Conflict { hard: true, used: true, reason });
        }
        if checks.named && !names_of(&index, id).is_empty() {
            let reason = "image is referenced in multiple repositories".to_owned();
            return Some(Conflict { hard: false, used: false, reason });
        }
        let user = user.filter(|_| checks.soft)?;
        let reason = format!("image is being used by stopped container {}", short(&user.container));
        Some(Conflict { hard: false, used: true, reason })
    }

    /// Removes a tag, and the digests of the same repository if it was the last tag there.
    fn untag_with_digests(&mut self, id: &ImageId, name: &Reference) -> Result<(), RemoveError> {
        self.untag(name)?;
        if name.digest().is_some() {
            return Ok(());
        }
        let left = self.current_names(id);
        let same = |other: &&Reference| other.name() == name.name();
        if left.iter().filter(same).any(|other| other.digest().is_none()) {
            return Ok(());
        }
        left.iter().filter(same).try_for_each(|digest| self.untag(digest))
    }

    fn untag(&mut self, name: &Reference) -> Result<(), RemoveError> {
        let row = name.clone();
        self.images
            .database()
            .write_durable(move |tx| rows::remove_name(tx, &row))
            .map_err(StoreError::from)?;
        self.images.index_mut().remove_name(name);
        self.removed.push(Removed::Untagged(name.familiar()));
        Ok(())
    }

    fn current_names(&self, id: &ImageId) -> Vec<Reference> {
        names_of(&self.images.index(), id)
    }
}

fn names_of(index: &Index, id: &ImageId) -> Vec<Reference> {
    index.image(id).map(|image| image.names.clone()).unwrap_or_default()
}

/// Whether at most one tag names the image, and digests only of the same repository.
fn is_one_repository(names: &[Reference]) -> bool {
    if names.len() <= 1 {
        return true;
    }
    let (digests, tags): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.digest().is_some());
    if tags.len() > 1 {
        return false;
    }
    let repositories: HashSet<String> = digests.iter().map(|name| name.name()).collect();
    let single = tags.first().unwrap_or(&&names[0]).name();
    repositories.len() == 1 && repositories.contains(&single)
}

fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

#[cfg(test)]
mod tests {
    use oci::digest::Digest;

    use super::*;

    #[test]
    fn one_repository_is_one_tag_and_its_own_digests() {
        let digest = Digest::sha256("x");
        let d = |name: &str| format!("{name}@{digest}");
        for (names, expected) in [
            (vec![], true),
            (vec!["a:1".to_owned()], true),
            (vec![d("a")], true),
            (vec!["a:1".to_owned(), d("a")], true),
            (vec!["a:1".to_owned(), "a:2".to_owned()], false),
            (vec!["a:1".to_owned(), d("b")], false),
            (vec![d("a"), d("b")], false),
        ] {
            let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
            assert_eq!(is_one_repository(&names), expected, "{names:?}");
        }
    }
}
