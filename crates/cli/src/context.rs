//! What every command works with: the engine, the settings, the program's name.

use std::cell::OnceCell;
use std::env;

use api_client::{Client, Endpoint, Settings};

use crate::autostart;
use crate::config_file::{self, ConfigFile};
use crate::error::CommandError;
use crate::flags::{Flag, flag};
use crate::ui::Ui;

/// Where the engine listens unless told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/corten.sock";

/// Values of the flags before the command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    config: String,
    debug: bool,
    hosts: Vec<String>,
    log_level: String,
    /// Print the version and nothing else.
    pub(crate) version: bool,
}

/// The flags before the command.
pub(crate) const GLOBAL_FLAGS: &[Flag<Globals>] = &[
    flag!(Globals, config, "config", "Directory of the client's config.json (default \"~/.docker\")"),
    flag!(Globals, debug, 'D', "debug", "Show each request to the engine"),
    flag!(Globals, hosts, 'H', "host", "Engine to talk to: unix://PATH or tcp://HOST:PORT"),
    flag!(
        Globals,
        log_level via check_level,
        'l',
        "log-level",
        "What to tell beside results: \"debug\", \"info\", \"warn\", \"error\" or \"fatal\" (default \"info\")"
    ),
    flag!(Globals, version, 'v', "version", "Print version information and quit"),
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a check; a wrong level is refused by `validate`"
)]
fn check_level(text: &str) -> Result<String, String> {
    Ok(text.to_lowercase())
}

/// What every command works with.
pub(crate) struct Context {
    /// `corten`, or `docker` when called by that name.
    pub(crate) program: &'static str,
    globals: Globals,
    config: OnceCell<ConfigFile>,
    client: OnceCell<Client>,
}

impl Context {
    /// A context that has read and opened nothing yet.
    pub(crate) fn new(program: &'static str, globals: Globals) -> Self {
        Self { program, globals, config: OnceCell::new(), client: OnceCell::new() }
    }

    /// Refuses global flags that make no sense.
    pub(crate) fn validate(&self) -> Result<(), CommandError> {
        match self.globals.log_level.as_str() {
            "" | "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic" | "trace" => Ok(()),
            other => Err(CommandError::new(format!("Unable to parse logging level: {other}"))),
        }
    }

    /// The client's settings. A file that cannot be read is told once and counts as empty.
    pub(crate) fn config(&self, ui: &mut Ui) -> &ConfigFile {
        self.config.get_or_init(|| {
            ConfigFile::load(&config_file::directory(&self.globals.config)).unwrap_or_else(|error| {
                if self.tells_warnings() {
                    ui.tell(&format!("WARNING: {error}"));
                }
                ConfigFile::default()
            })
        })
    }

    fn tells_warnings(&self) -> bool {
        !matches!(self.globals.log_level.as_str(), "error" | "fatal" | "panic")
    }

    /// Requests are shown.
    pub(crate) fn is_debug(&self) -> bool {
        self.globals.debug || matches!(self.globals.log_level.as_str(), "debug" | "trace")
    }

    /// The engine. Nothing is connected yet.
    pub(crate) fn engine(&self, ui: &mut Ui) -> Result<&Client, CommandError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let (endpoint, explicit) = self.endpoint()?;
        let headers = self.config(ui).http_headers.clone().into_iter().collect();
        let version = env::var("DOCKER_API_VERSION").ok().filter(|version| !version.is_empty());
        let mut settings = Settings { version, headers, ..Settings::default() };
        if self.is_debug() {
            settings.trace = Some(Box::new(|line| {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "debug: {line}");
            }));
        }
        if !explicit {
            settings.unreachable = Some(Box::new(autostart::start));
        }
        Ok(self.client.get_or_init(|| Client::new(endpoint, settings)))
    }

    /// The engine's address, and whether somebody chose it.
    fn endpoint(&self) -> Result<(Endpoint, bool), CommandError> {
        let chosen = match self.globals.hosts.as_slice() {
            [] => ["CORTEN_HOST", "DOCKER_HOST"]
                .into_iter()
                .find_map(|name| env::var(name).ok().filter(|host| !host.is_empty())),
            [host] => Some(host.clone()),
            _ => {
                let text = "Failed to initialize: unable to resolve docker endpoint: Specify only one -H";
                return Err(CommandError::new(text));
            }
        };
        let Some(host) = chosen else {
            return Ok((Endpoint::Unix(DEFAULT_SOCKET.into()), false));
        };
        let endpoint = Endpoint::parse(&host).map_err(|error| {
            CommandError::new(format!("Failed to initialize: unable to resolve docker endpoint: {error}"))
        })?;
        let wants_tls = env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
        if wants_tls && matches!(endpoint, Endpoint::Tcp { .. }) {
            // In the clear is the one way in which whoever asked for TLS does not want to be served.
            let text = "error: DOCKER_TLS_VERIFY asks for TLS, which this client does not speak\n  \
                        help: unset it, or reach the engine at a unix socket";
            return Err(CommandError::new(text));
        }
        Ok((endpoint, true))
    }
}
