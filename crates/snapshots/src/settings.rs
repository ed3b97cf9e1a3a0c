//! How layers are kept on this machine.

/// Settings of a layer store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of overlayfs' own extended attributes.
    pub attributes: OverlayAttributes,
    /// Added to every owner and group: rootless engines store shifted ids.
    pub id_shift: u32,
    /// Most bytes one archive may unpack to; none: only free space bounds it.
    pub max_unpacked: Option<u64>,
    /// Bytes of the file system that unpacking leaves free, for the containers that run on it.
    pub reserve: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { attributes: OverlayAttributes::Trusted, id_shift: 0, max_unpacked: None, reserve: 64 << 20 }
    }
}

/// Where overlayfs keeps its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayAttributes {
    /// `trusted.overlay.*`, needs CAP_SYS_ADMIN in the initial user namespace.
    Trusted,
    /// `user.overlay.*`, for mounts with `userxattr`.
    User,
}

impl OverlayAttributes {
    /// The attribute that hides everything below a directory in lower layers.
    pub fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}
