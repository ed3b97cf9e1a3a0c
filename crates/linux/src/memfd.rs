//! memfd
