//! The command line against an engine of the test's own: what it asks for, and what it makes of the answers.

mod autostart;
mod bodies;
mod commands;
mod server;
