//! `stats`: shows what containers use, again and again.

mod usage;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use api_client::containers::ListOptions;
use api_client::documents::Documents;
use api_client::system::EventsOptions;
use api_client::{Client, ClientError, Filters};
use api_types::system::EventMessage;
use futures_util::future::{self, AbortHandle, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use self::usage::{LISTING, Shown};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::format::{self, FormatError, JSON, TABLE, short_id};
use crate::ui::Ui;

/// Between two pictures.
const REFRESH: Duration = Duration::from_millis(500);

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct StatsArgs {
    all: bool,
    format: String,
    no_stream: bool,
    no_trunc: bool,
}

const FLAGS: &[Flag<StatsArgs>] = &[
    flag!(StatsArgs, all, 'a', "all", "Show stopped containers too"),
    Flag { help: super::ps::list_format_help!(), ..flag!(StatsArgs, format, "format", "") },
    flag!(StatsArgs, no_stream, "no-stream", "Print once"),
    flag!(StatsArgs, no_trunc, "no-trunc", "Do not shorten anything"),
];

/// `stats`.
pub(crate) struct Stats;

impl Command for Stats {
    type Args = StatsArgs;
    const FLAGS: Tables<StatsArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] [CONTAINER...]";
    const ABOUT: &'static str = "Show what containers use, again and again";
    const ARITY: Arity = Arity::Any;

    async fn run(args: StatsArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let format = format_of(&args.format);
        // A template that cannot work is told before the engine is asked.
        let body = format.strip_prefix(TABLE).unwrap_or(if format == JSON { "" } else { &format });
        format::check(&LISTING, body).map_err(FormatError::parsing_error)?;
        let engine = context.engine(ui)?;
        let named = !operands.is_empty();
        // From before the list, so that no container is missed that is started meanwhile.
        let events = if named || args.no_stream { None } else { Some(changes(engine, args.all).await?) };
        let names = match named {
            true => operands,
            false => list(engine, args.all).await?,
        };
        let picture = Picture { format, trunc: !args.no_trunc };
        if args.no_stream {
            return picture.once(engine, names, ui).await;
        }
        picture.follow(engine, names, named, events, ui).await
    }
}

fn format_of(wanted: &str) -> String {
    match wanted {
        "" | TABLE => "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}".to_owned(),
        custom => custom.to_owned(),
    }
}

/// Ids of the containers there are, cut as Docker shows them.
async fn list(engine: &Client, all: bool) -> Result<Vec<String>, ClientError> {
    let options = ListOptions { all, ..ListOptions::default() };
    Ok(engine
        .list_containers(&options)
        .await?
        .into_iter()
        .map(|container| short_id(&container.id).to_owned())
        .collect())
}

/// Containers that come and go.
async fn changes(engine: &Client, all: bool) -> Result<Documents<EventMessage>, ClientError> {
    let mut filters = Filters::default();
    filters.add("type", "container");
    let wanted: &[&str] = if all { &["create", "destroy"] } else { &["start", "die", "destroy"] };
    wanted.iter().for_each(|event| filters.add("event", event));
    engine.watch_events(&EventsOptions { filters, ..EventsOptions::default() }).await
}

/// How it is shown.
struct Picture {
    format: String,
    trunc: bool,
}

/// News of a container, by the name it was asked for.
struct News {
    container: String,
    shown: Shown,
    /// Why there are none any more.
    end: Option<ClientError>,
}

impl Picture {
    async fn once(&self, engine: &Client, names: Vec<String>, ui: &mut Ui) -> Outcome {
        let asked = names.iter().map(|name| async move {
            let stream = engine.container_stats(name, false).await?;
            let mut messages = Documents::new(stream);
            Ok::<_, ClientError>(messages.next().await?.map(|stats| Shown::new(name, stats, self.trunc)))
        });
        let (mut shown, mut failures) = (Vec::new(), Vec::new());
        for found in future::join_all(asked).await {
            match found {
                Ok(found) => shown.extend(found),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if failures.is_empty() {
            write!(ui.stdout(), "{}", self.render(shown)?)?;
        }
        super::each::finish(failures)
    }

    async fn follow(
        self,
        engine: &Client,
        names: Vec<String>,
        named: bool,
        mut events: Option<Documents<EventMessage>>,
        ui: &mut Ui,
    ) -> Outcome {
        let (sender, mut news) = mpsc::unbounded_channel();
        let mut board =
            Board { engine, sender, trunc: self.trunc, rows: Vec::new(), latest: BTreeMap::new() };
        let mut watches = FuturesUnordered::new();
        for name in names {
            watches.extend(board.add(name));
        }
        let mut ticks = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                Some(()) = watches.next() => {}
                Some(news) = news.recv() => board.hear(news, named)?,
                event = next(&mut events) => match event? {
                    Some(event) if matches!(event.action.as_str(), "start" | "create") => {
                        watches.extend(board.add(short_id(&event.actor.id).to_owned()));
                    }
                    Some(event) => board.remove(short_id(&event.actor.id)),
                    None => return Err(CommandError::new("the engine has ended the stream of events")),
                },
                // What is known at the first tick is nothing yet.
                _ = ticks.tick() => if board.is_known() { self.draw(board.shown(), ui)? },
            }
        }
    }

    fn render(&self, shown: Vec<Shown>) -> Result<String, CommandError> {
        format::render(&LISTING, &self.format, shown).map_err(FormatError::parsing_error)
    }

    /// Over the picture before, line by line, so that nothing flickers.
    fn draw(&self, shown: Vec<Shown>, ui: &mut Ui) -> Result<(), CommandError> {
        let text = self.render(shown)?;
        write!(ui.stdout(), "\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))?;
        Ok(ui.flush()?)
    }
}

async fn next(events: &mut Option<Documents<EventMessage>>) -> Result<Option<EventMessage>, ClientError> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// The containers on show.
struct Board<'a> {
    engine: &'a Client,
    sender: mpsc::UnboundedSender<News>,
    trunc: bool,
    /// In order; whoever is taken off is not watched any more.
    rows: Vec<(String, AbortHandle)>,
    latest: BTreeMap<String, Shown>,
}

impl<'a> Board<'a> {
    /// Puts one on show, unless it is there; what watches it has to be polled.
    fn add(&mut self, name: String) -> Option<impl Future<Output = ()> + use<'a>> {
        if self.has(&name) {
            return None;
        }
        let shown = name.clone();
        let (engine, news, trunc) = (self.engine, self.sender.clone(), self.trunc);
        let (watch, handle) = future::abortable(async move {
            let ended = watch(engine, &name, trunc, &news).await;
            let shown = Shown::unknown(&name, trunc);
            // Nobody listens any more when the command ends.
            let _ = news.send(News { container: name, shown, end: ended.err() });
        });
        self.rows.push((shown, handle));
        Some(watch.map(drop))
    }

    fn has(&self, name: &str) -> bool {
        self.rows.iter().any(|(row, _)| row == name)
    }

    fn remove(&mut self, name: &str) {
        for (_, watch) in self.rows.extract_if(.., |(row, _)| row == name) {
            watch.abort();
        }
        self.latest.remove(name);
    }

    /// One that cannot be watched is shown as that, unless it was named and never seen.
    fn hear(&mut self, news: News, named: bool) -> Result<(), CommandError> {
        if !self.has(&news.container) {
            return Ok(());
        }
        if let Some(error) = news.end.filter(|_| named && !self.latest.contains_key(&news.container)) {
            return Err(error.into());
        }
        self.latest.insert(news.container, news.shown);
        Ok(())
    }

    /// There is something to be said about each.
    fn is_known(&self) -> bool {
        self.rows.iter().all(|(row, _)| self.latest.contains_key(row))
    }

    fn shown(&self) -> Vec<Shown> {
        self.rows.iter().filter_map(|(row, _)| self.latest.get(row).cloned()).collect()
    }
}

/// Passes messages about a container on until there are no more.
async fn watch(
    engine: &Client,
    name: &str,
    trunc: bool,
    news: &mpsc::UnboundedSender<News>,
) -> Result<(), ClientError> {
    let mut messages = Documents::new(engine.container_stats(name, true).await?);
    while let Some(stats) = messages.next().await? {
        let shown = Shown::new(name, stats, trunc);
        if news.send(News { container: name.to_owned(), shown, end: None }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
