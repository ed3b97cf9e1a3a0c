//! Why a change is refused. The words are Docker's.

/// An instruction that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nothing but blanks and comments.
    #[error("file with no instructions")]
    NoInstructions,
    /// An instruction that needs a build, or none at all.
    #[error("{0} is not a valid change command")]
    NotAllowed(String),
    /// A flag that the instruction does not have.
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    /// A flag without its value.
    #[error("missing a value on flag: --{0}")]
    FlagWithoutValue(String),
    /// A flag given twice.
    #[error("duplicate flag specified: --{0}")]
    DuplicateFlag(String),
    /// Too few arguments.
    #[error("{0} requires at least one argument")]
    AtLeastOne(&'static str),
    /// Not one argument.
    #[error("{0} requires exactly one argument")]
    ExactlyOne(&'static str),
    /// A name without a value.
    #[error("{0} must have two arguments")]
    Two(&'static str),
    /// A word without `=` among pairs.
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoEquals(String),
    /// A pair without a name.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// An array of something else than strings.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    /// A word whose variables cannot be replaced.
    #[error("failed to process {word:?}: {reason}")]
    Expansion {
        /// The word.
        word: String,
        /// Why.
        reason: String,
    },
    /// Not a port.
    #[error("Invalid containerPort: {0}")]
    Port(String),
    /// A port specification without a port.
    #[error("No port specified: {0}<empty>")]
    NoPort(String),
    /// Not a protocol.
    #[error("Invalid proto: {0}")]
    Protocol(String),
    /// A volume without a path.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// A directory without a path.
    #[error("cannot normalize nothing")]
    EmptyWorkdir,
    /// Not a signal.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// `ONBUILD ONBUILD`.
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedOnBuild,
    /// An instruction that no trigger may have.
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    Trigger(String),
    /// A kind of health check that there is not.
    #[error("Unknown type {0:?} in HEALTHCHECK (try CMD)")]
    HealthcheckType(String),
    /// `HEALTHCHECK NONE` with more.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    /// `HEALTHCHECK CMD` without more.
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    /// A text that is no duration.
    #[error("time: {0}")]
    Duration(String),
    /// A duration that is too short.
    #[error("Interval {0:?} cannot be less than 1ms")]
    TooShort(&'static str),
    /// A text that is no number.
    #[error("strconv.ParseInt: parsing {0:?}: invalid syntax")]
    Number(String),
    /// A negative number of retries.
    #[error("--retries cannot be negative ({0})")]
    Retries(i64),
}
