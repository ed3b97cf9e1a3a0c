//! From start to stop.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use api_server::{App, DaemonFacts, Server};
use clap::Parser;
use engine::Engine;
use engine::params::EngineConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;

use crate::args::{Args, CalledAs};
use crate::listen::Sockets;
use crate::logging::{self, LogLevel};
use crate::notify::notify;
use crate::settings::{Reloadable, Settings};
use crate::state::{Lock, PidFile, engine_id, private_directory};
use crate::{config, group, process, tolerated};

/// Exit code when the daemon cannot start.
const FAILED: u8 = 1;

type Failure = Box<dyn std::error::Error>;

pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let called_as = CalledAs::from_name(args.first());
    let result = tolerated::take_flags(args).map_err(Failure::from).and_then(|(args, notes)| {
        match Args::try_parse_from(args) {
            Ok(args) => start(args, notes, called_as),
            Err(error) => {
                // Help is no failure, and goes to standard output.
                let _ = error.print();
                Ok(ExitCode::from(if error.use_stderr() { FAILED } else { 0 }))
            }
        }
    });
    result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "failed to start daemon: {error}");
        ExitCode::from(FAILED)
    })
}

fn start(args: Args, mut notes: Vec<String>, called_as: CalledAs) -> Result<ExitCode, Failure> {
    if args.version {
        let commit = option_env!("CORTEN_GIT_COMMIT").unwrap_or("unknown");
        let name = if called_as == CalledAs::Dockerd { "Docker" } else { "Corten" };
        writeln!(std::io::stdout(), "{name} version {}, build {commit}", api_server::VERSION)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.list_failpoints {
        engine::failpoints::ALL.iter().try_for_each(|point| writeln!(std::io::stdout(), "{point}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    failpoints::arm(&[engine::failpoints::ALL], &engine::failpoints::OF_SHIMS)?;
    let (config, more_notes) = config::read(args.config_file.as_deref(), called_as)?;
    notes.extend(more_notes);
    let settings = Settings::new(args.clone(), config, called_as)?;
    if args.validate {
        notes.iter().try_for_each(|note| writeln!(std::io::stderr(), "warning: {note}"))?;
        writeln!(std::io::stderr(), "configuration OK")?;
        return Ok(ExitCode::SUCCESS);
    }
    let level = logging::start(settings.reloadable.log_level);
    for note in notes {
        tracing::warn!("{note}");
    }
    run(settings, &level, &|| read_again(&args, called_as))?;
    Ok(ExitCode::SUCCESS)
}

/// `reload` reads the configuration again.
fn run(
    settings: Settings,
    level: &LogLevel,
    reload: &dyn Fn() -> Result<Reloadable, Failure>,
) -> Result<(), Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    process::raise_open_files();
    process::lower_oom_score();
    let shim = process::find_shim(settings.shim.clone())?;
    let group = group::socket_group(settings.group.as_deref())?;
    private_directory(&settings.data_root)?;
    private_directory(&settings.exec_root)?;
    let _lock = Lock::take(&settings.data_root)?;
    let _pid_file = settings.pidfile.as_deref().map(PidFile::write).transpose()?;
    let id = engine_id(&settings.data_root)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        // Before anything can be left behind, so that it is not.
        let mut signals = Signals::catch()?;
        // Listening comes first: clients may connect while the engine finds its containers again, and wait.
        let mut sockets = Sockets::listen(&settings.endpoints, group, settings.plain_tcp)?;
        let facts = DaemonFacts { id, data_root: settings.data_root.clone() };
        let opening = Engine::open(EngineConfig {
            data_root: settings.data_root,
            exec_root: settings.exec_root,
            shim,
            log_options: settings.log_options,
            pids_limit: settings.pids_limit,
            stop_timeout: settings.stop_timeout,
            max_layer_size: settings.max_layer_size,
            cgroup_root: settings.cgroup_root,
            init: settings.init,
            default_ulimits: settings.default_ulimits,
            defaults: settings.defaults,
            ready_shims: settings.ready_shims,
        });
        let engine = tokio::select! {
            engine = opening => engine?,
            () = signals.stop() => return Ok(()),
        };
        let app = Arc::new(App::new(engine.clone(), facts, shown(settings.reloadable)));
        let server = Server::new(Arc::clone(&app));
        for listener in std::mem::take(&mut sockets.listeners) {
            let server = server.clone();
            tokio::spawn(async move { server.serve(listener).await });
        }
        notify("READY=1");
        tracing::info!(version = api_server::VERSION, "daemon is ready");
        until_told_to_stop(&mut signals, reload, level, &app).await;
        notify("STOPPING=1");
        drop(sockets);
        server.stop().await;
        engine.close().await;
        tracing::info!("daemon stopped; containers keep running");
        Ok::<_, Failure>(())
    });
    // Blocking calls under way are cut: whatever they write is either complete or swept at the next start.
    runtime.shutdown_background();
    result
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that says stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves signals until one of them says stop.
async fn until_told_to_stop(
    signals: &mut Signals,
    reload: &dyn Fn() -> Result<Reloadable, Failure>,
    level: &LogLevel,
    app: &App,
) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.reload.recv() => match reload() {
                Ok(new) => {
                    level.set(new.log_level);
                    tracing::info!(level = %new.log_level, "configuration read again");
                    app.reloaded(shown(new));
                }
                Err(error) => tracing::error!(%error, "configuration not read again"),
            },
        }
    }
}

fn read_again(args: &Args, called_as: CalledAs) -> Result<Reloadable, Failure> {
    let (config, _) = config::read(args.config_file.as_deref(), called_as)?;
    Ok(Reloadable::new(args, &config)?)
}

/// As clients see it.
fn shown(settings: Reloadable) -> api_server::Reloadable {
    api_server::Reloadable { labels: settings.labels, debug: settings.log_level >= Level::DEBUG }
}
