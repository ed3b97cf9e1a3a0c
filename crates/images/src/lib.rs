//! Image names and their contents: import, load, save, tag, remove, history
