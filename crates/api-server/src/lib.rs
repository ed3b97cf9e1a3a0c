//! Docker's Engine API over HTTP: handlers translate, nothing more
