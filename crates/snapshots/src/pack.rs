//! The archive of a directory: of an upper directory as a layer (commit, build), of a whole root file system (export).

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use archive::pack::Packer;
use archive::walk::{Descend, Item, walk};

use crate::changes::is_mount_point;
use crate::settings::Settings;
use crate::upper::is_whiteout;

/// What of a directory becomes an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// A layer: overlayfs' marks become whiteouts, and what the engine made to mount on is left out.
    Layer,
    /// Everything, as it is.
    Tree,
}

/// Writes the archive of `root` to `out`. Sockets are left out, as archives have none.
pub fn pack<W: Write>(
    root: BorrowedFd<'_>,
    contents: Contents,
    settings: &Settings,
    out: W,
) -> io::Result<W> {
    let mut packer = Packer::new(out, settings.id_shift);
    walk(root, &mut |item| {
        match contents {
            Contents::Layer => layer_item(&mut packer, &item, settings)?,
            Contents::Tree => packer.item(&item, item.path.to_vec())?,
        }
        Ok(Descend::Yes)
    })?;
    packer.finish()
}

fn layer_item<W: Write>(packer: &mut Packer<W>, item: &Item<'_>, settings: &Settings) -> io::Result<()> {
    if is_mount_point(item) {
        return Ok(());
    }
    if is_whiteout(item.stat) {
        let (folder, name) = match item.path.iter().rposition(|&b| b == b'/') {
            Some(slash) => item.path.split_at(slash + 1),
            None => (&b""[..], item.path),
        };
        return packer.mark([folder, b".wh.", name].concat(), item.stat);
    }
    packer.item(item, item.path.to_vec())?;
    let opaque = OsStr::new(settings.attributes.opaque());
    if item.is_dir() && linux::fs::xattr(item.dir, item.name, opaque)?.is_some() {
        packer.mark([item.path, b"/.wh..wh..opq"].concat(), item.stat)?;
    }
    Ok(())
}
