//! The daemon: sockets, configuration, signals; wiring only
