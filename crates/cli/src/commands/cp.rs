//! `cp`: copies files into a container and out of it.

mod local;
mod plan;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_client::Client;
use api_client::transport::BodyStream;
use api_types::files::PathStat;
use archive::extract::{Options, Owner, extract};
use archive::pack::pack_path;
use archive::walk::Descend;
use tokio::sync::mpsc;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::download::{self, Pieces};
use crate::error::{CommandError, Outcome, go_error};
use crate::flags::{Flag, Tables, flag};
use crate::ui::{self, Ui};
use crate::units::decimal_size;
use crate::upload;

use local::Source;
use plan::{Side, Target};

/// How long after the engine's answer the reading of local files may take to end: it may still try to send.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct CpArgs {
    archive: bool,
    follow_link: bool,
    quiet: Option<bool>,
}

const FLAGS: &[Flag<CpArgs>] = &[
    flag!(CpArgs, archive, 'a', "archive", "Archive mode: give copied files the container's own user"),
    flag!(CpArgs, follow_link, 'L', "follow-link", "Follow a symbolic link in SRC_PATH"),
    flag!(
        CpArgs,
        quiet,
        'q',
        "quiet",
        "Do not tell what was copied. That is the default where output is no terminal"
    ),
];

/// `cp`.
pub(crate) struct Cp;

impl Command for Cp {
    type Args = CpArgs;
    const FLAGS: Tables<CpArgs> = &[FLAGS];
    const USAGE: &'static str =
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH";
    const ABOUT: &'static str = "Copy files or folders between a container and this machine\n\n\
        A dash as the source reads a tar archive from standard input and extracts it\n\
        into a folder of the container. A dash as the destination writes a tar archive\n\
        of a path of the container to standard output.";
    const ARITY: Arity = Arity::Exactly(2);

    async fn run(args: CpArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let quiet = args.quiet.unwrap_or_else(|| !ui::stdout_is_terminal());
        let engine = context.engine(ui)?;
        let copied = match (Side::parse(&operands[0]), Side::parse(&operands[1])) {
            (Side::Container { name, path }, Side::Local(to)) if to == "-" => {
                let mut remote = read(engine, &name, &path, args.follow_link).await?;
                download::to_stdout(&mut remote.stream, ui).await?;
                return Ok(0);
            }
            (Side::Container { name, path }, Side::Local(to)) => {
                let to = local::absolute(&to)?;
                let bytes = copy_out(engine, &name, &path, &to, args.follow_link).await?;
                Some((bytes, to))
            }
            (Side::Local(from), Side::Container { name, path }) => {
                let bytes = copy_in(engine, &from, &name, &path, &args).await?;
                Some((bytes, operands[1].clone()))
            }
            (Side::Container { .. }, Side::Container { .. }) => {
                return Err(CommandError::new("copying between containers is not supported"));
            }
            (Side::Local(_), Side::Local(_)) => {
                return Err(CommandError::new("must specify at least one container source"));
            }
        };
        if let Some((bytes, to)) = copied.filter(|_| !quiet) {
            let size = decimal_size(i64::try_from(bytes).unwrap_or(i64::MAX), 3);
            ui.tell(&format!("Successfully copied {size} to {to}"));
        }
        Ok(0)
    }
}

/// Files of a container, on the way.
struct Remote {
    stat: PathStat,
    stream: BodyStream,
    /// The path that was read, and what its last part is to be called.
    path: String,
    rebase: Option<String>,
}

async fn read(engine: &Client, name: &str, path: &str, follow: bool) -> Result<Remote, CommandError> {
    let mut asked = (path.to_owned(), None);
    // A path that is not there fails below, with the engine's words.
    if follow
        && let Ok(stat) = engine.stat_path(name, path).await
        && stat.is_symlink()
    {
        asked = plan::rebased(path, &stat.link_target);
    }
    let (path, rebase) = asked;
    let (stat, stream) = engine.read_path(name, &path).await?;
    Ok(Remote { stat, stream, path, rebase })
}

/// Copies out of a container; the number of bytes that came.
async fn copy_out(
    engine: &Client,
    name: &str,
    from: &str,
    to: &str,
    follow: bool,
) -> Result<u64, CommandError> {
    local::check_output(to)?;
    let remote = read(engine, name, from, follow).await?;
    let target = local::target(to)?;
    let placed = plan::place(&target, remote.stat.is_dir()).map_err(CommandError::new)?;
    let archived = plan::base(&remote.path);
    let wanted = placed.name.or(remote.rebase).unwrap_or_else(|| archived.clone());
    let directory = linux::fs::open_dir(std::path::Path::new(&placed.directory))
        .map_err(|error| CommandError::new(format!("open {}: {}", placed.directory, go_error(&error))))?;
    let (sender, receiver) = mpsc::channel(4);
    let extracted = tokio::task::spawn_blocking(move || {
        let rename = (archived != wanted).then_some((archived.as_bytes(), wanted.as_bytes()));
        let options = Options {
            owner: Owner::Caller,
            keep_kinds: true,
            rename,
            directory: &placed.directory,
            guard: &|_| Ok(()),
        };
        extract(Pieces::new(receiver), directory.as_fd(), &options)
    });
    let mut stream = remote.stream;
    let mut count = 0;
    let mut broken = None;
    loop {
        match stream.next().await {
            Ok(Some(piece)) => {
                count += piece.len() as u64;
                // The extraction tells itself why it stopped.
                if sender.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let outcome = extracted.await.map_err(|error| CommandError::new(error.to_string()))?;
    match broken {
        Some(error) => Err(error.into()),
        None => outcome.map(|()| count).map_err(|error| CommandError::new(error.to_string())),
    }
}

/// Copies into a container; the number of bytes that went.
async fn copy_in(
    engine: &Client,
    from: &str,
    name: &str,
    to: &str,
    args: &CpArgs,
) -> Result<u64, CommandError> {
    let source = match from {
        "-" => None,
        path => Some(Source::find(path, args.follow_link)?),
    };
    let target = remote_target(engine, name, to).await;
    let count = Arc::new(AtomicU64::new(0));
    let mut packing = None;
    let (directory, body) = match source {
        None => {
            if !target.is_dir {
                return Err(CommandError::new(format!("destination \"{name}:{to}\" must be a directory")));
            }
            (target.path, upload::body(Counted(io::stdin(), Arc::clone(&count))))
        }
        Some(source) => {
            let placed = plan::place(&target, source.is_dir).map_err(CommandError::new)?;
            let root_name = placed.name.unwrap_or_else(|| source.archive_name.clone());
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
                .map_err(|error| CommandError::new(error.to_string()))?;
            packing = Some(tokio::task::spawn_blocking(move || {
                let out = io::BufWriter::with_capacity(1 << 16, File::from(writer));
                pack_path(source.dir.as_fd(), &source.name, root_name.as_bytes(), out, &mut |_| {
                    Ok(Descend::Yes)
                })
                .map(drop)
            }));
            (placed.directory, upload::body(Counted(File::from(reader), Arc::clone(&count))))
        }
    };
    let written = engine.write_path(name, &directory, args.archive, body).await;
    // A file that cannot be read cuts the archive off; that is the reason to tell then.
    if let Some(packing) = packing
        && let Ok(Ok(Err(error))) = tokio::time::timeout(PATIENCE, packing).await
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(CommandError::new(format!("cannot read {from}: {}", go_error(&error))));
    }
    written?;
    Ok(count.load(Ordering::Relaxed))
}

/// Where a path of a container leads, as far as the engine knows it. If it cannot be looked at, the copy itself will
/// say why.
async fn remote_target(engine: &Client, name: &str, path: &str) -> Target {
    let mut path = path.to_owned();
    let mut stat = engine.stat_path(name, &path).await.ok();
    if let Some(link) = stat.as_ref().filter(|stat| stat.is_symlink()) {
        path.clone_from(&link.link_target);
        stat = engine.stat_path(name, &path).await.ok();
    }
    Target { exists: stat.is_some(), is_dir: stat.is_some_and(|stat| stat.is_dir()), path }
}

/// Counts what is read.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
