//! Content store: blobs by digest, ingests, garbage collection
