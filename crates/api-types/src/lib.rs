//! Engine API JSON, field by field: data only, no I/O
