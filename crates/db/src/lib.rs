//! corten.db: one SQLite file, one writer thread, versioned schemas
