//! Where a shim can be made to die, one point between any two things that it does; see crate `failpoints`.

failpoints::points! {
    /// It has the plan, and the log is open.
    CREATE_PLANNED = "shim.create.planned", may fail;
    /// Daemons can connect.
    CREATE_LISTENING = "shim.create.listening", may fail;
    /// The root is there.
    CREATE_ROOT = "shim.create.root", may fail;
    /// The cgroup is there, with its limits.
    CREATE_CGROUP = "shim.create.cgroup", may fail;
    /// Init waits for the start; nobody has been told.
    CREATE_READY = "shim.create.ready", may fail;
    /// The user's program runs; nobody has been told.
    START_RUNNING = "shim.start.running";

    /// An exec'd process runs; nobody has been told.
    EXEC_RUNNING = "shim.exec.running";
    /// An exec'd process has ended; nobody has been told.
    EXEC_ENDED = "shim.exec.ended";

    /// Init has ended and its output is read; there is no record of it.
    EXIT_REAPED = "shim.exit.reaped";
    /// The exit record is there, and the cgroup.
    EXIT_RECORDED = "shim.exit.recorded";
    /// The cgroup and the socket are gone; nobody has been told.
    EXIT_REMOVED = "shim.exit.removed";
    /// The end has been told; clients are still attached.
    EXIT_TOLD = "shim.exit.told";
}
