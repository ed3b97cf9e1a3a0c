//! The corten command tree
