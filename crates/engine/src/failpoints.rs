//! Where the engine can be made to die, one point between any two things that it does; see crate `failpoints`.

use failpoints::Point;

/// Those of the programs that an engine starts.
pub const OF_SHIMS: [&[Point]; 2] = [shim::failpoints::ALL, runtime::failpoints::ALL];

failpoints::points! {
    /// The name is taken, everything is decided.
    CREATE_PLANNED = "create.planned", may fail;
    /// The directory is there, the row is not.
    CREATE_DIRECTORY = "create.directory", may fail;
    /// The row is there; nobody has been told.
    CREATE_SAVED = "create.saved";
    /// Everybody sees it; who asked has no answer.
    CREATE_ENTERED = "create.entered";

    /// The files and the plan are written.
    START_PREPARED = "start.prepared", may fail;
    /// There is a shim, which has been told nothing.
    START_SHIM = "start.shim", may fail;
    /// The shim is at work.
    START_ASKED = "start.asked", may fail;
    /// The program runs, the row says otherwise.
    START_RUNNING = "start.running", may fail;
    /// The row says that it runs; nobody has been told.
    START_SAVED = "start.saved";

    /// The shim has told the end; the row says that it runs.
    EXIT_HEARD = "exit.heard";
    /// The row says that it ended; nobody has been told.
    EXIT_SAVED = "exit.saved";
    /// The runtime directory is gone as well.
    EXIT_CLEARED = "exit.cleared";

    /// It is known here, and its file is not there.
    EXEC_CREATED = "exec.created", may fail;
    /// Its file is there; nobody has been told.
    EXEC_SAVED = "exec.saved";
    /// The shim is about to be asked.
    EXEC_PREPARED = "exec.prepared", may fail;
    /// It runs; nobody has been told.
    EXEC_STARTED = "exec.started";

    /// The row says that the user stops it.
    STOP_MARKED = "stop.marked", may fail;
    /// The stop signal is sent.
    STOP_SIGNALLED = "stop.signalled";
    /// SIGKILL is sent.
    STOP_KILLED = "stop.killed";
    /// It has ended; who asked has no answer.
    STOP_ENDED = "stop.ended";
    /// A restart has stopped it and has not started it.
    RESTART_STOPPED = "restart.stopped";

    /// It does not run any more; everything of it is there.
    REMOVE_STOPPED = "remove.stopped", may fail;
    /// The row is gone, the directories are there.
    REMOVE_ROW = "remove.row";
    /// The runtime directory is gone, the other is there.
    REMOVE_RUN_DIR = "remove.run-dir", may fail;
    /// Nothing is left; who asked has no answer.
    REMOVE_FILES = "remove.files";

    /// The processes stand still, the row says that they run.
    PAUSE_FROZEN = "pause.frozen", may fail;
    /// They run, the row says that they stand still.
    PAUSE_THAWED = "pause.thawed", may fail;
    /// The kernel has new limits, the row has the old ones.
    UPDATE_APPLIED = "update.applied", may fail;
    /// The new name is in the row; nobody has been told.
    RENAME_SAVED = "rename.saved";

    /// An archive is about to be unpacked into a container.
    COPY_IN_BEGUN = "copy.in.begun", may fail;
    /// It is unpacked; who asked has no answer.
    COPY_IN_DONE = "copy.in.done";
    /// A container's files are about to be packed.
    COPY_OUT_BEGUN = "copy.out.begun", may fail;

    /// A new engine knows how a container stands; its row does not.
    RECONCILE_LOOKED = "reconcile.looked";
    /// The row is right again; the container has no task yet.
    RECONCILE_SAVED = "reconcile.saved";
    /// Everything is taken over, nothing is swept.
    RECONCILE_ADOPTED = "reconcile.adopted";
    /// What belongs to no row is gone.
    RECONCILE_SWEPT = "reconcile.swept";
}
