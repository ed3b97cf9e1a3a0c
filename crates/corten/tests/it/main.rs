//! The whole product from the outside: command line, API, daemon, shim and runtime, on the real kernel.
//!
//! Every test has a host of its own (see `testkit`) and fails when anything of it is left at the end. The programs
//! must be built: `cargo build -p corten -p shim -p runtime`.

mod client;
mod clock;
mod commit;
mod container_commands;
mod copy;
mod daemon_death;
mod docker_client;
mod errors;
mod events;
mod failpoints;
mod faults;
mod flags;
mod fuzz;
mod health;
mod hostile_copy;
mod hostile_images;
mod hostile_paths;
mod hostile_processes;
mod ledger;
mod life_flags;
mod lifecycle;
mod logs;
mod memory;
mod programs;
mod ps;
mod random_kills;
mod reaper;
mod sharing;
mod shim_death;
mod space;
mod stats;
mod terminal;
mod troubleshooting;
mod update;
