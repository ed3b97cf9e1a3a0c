//! Where a start can be made to die; see crate `failpoints`.

failpoints::points! {
    /// The process is there and sets itself up.
    CREATE_CLONED = "runtime.create.cloned", may fail;
    /// The process has set itself up.
    CREATE_SET_UP = "runtime.create.set-up", may fail;
    /// A process is exec'd, and sets itself up.
    EXEC_CLONED = "runtime.exec.cloned", may fail;
}
