//! Image names and their contents: import, load, save, tag, remove, history

/// The image store.
#[derive(Debug)]
pub struct Images;
