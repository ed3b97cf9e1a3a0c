//! `container prune`, `image prune`, `system prune`: remove what nobody uses.

use std::io::{self, BufRead, Write};

use api_client::{Client, ClientError, Filters};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::ui::Ui;
use crate::units::decimal_size;

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct PruneArgs {
    all: bool,
    filter: Filters,
    force: bool,
    volumes: bool,
}

const SHARED: &[Flag<PruneArgs>] = &[
    flag!(PruneArgs, filter, "filter", "Remove only what fits (\"until=24h\", \"label=KEY=VALUE\")"),
    flag!(PruneArgs, force, 'f', "force", "Do not ask"),
];
const ALL: &[Flag<PruneArgs>] = &[flag!(
    PruneArgs,
    all,
    'a',
    "all",
    "Remove all images that no container uses, not only those without a name"
)];
const VOLUMES: &[Flag<PruneArgs>] = &[flag!(PruneArgs, volumes, "volumes", "Remove anonymous volumes too")];

/// `container prune`.
pub(crate) struct ContainerPrune;

impl Command for ContainerPrune {
    type Args = PruneArgs;
    const FLAGS: Tables<PruneArgs> = &[SHARED];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove all stopped containers";
    const ARITY: Arity = Arity::None;

    async fn run(args: PruneArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let filters = with_configured(&args.filter, &context.config(ui).prune_filters);
        if !args.force && !confirmed("WARNING! This will remove all stopped containers.", ui)? {
            return Ok(0);
        }
        let pruned = containers(context.engine(ui)?, &filters).await?;
        tell_all(&[pruned], ui)
    }
}

/// `image prune`.
pub(crate) struct ImagePrune;

impl Command for ImagePrune {
    type Args = PruneArgs;
    const FLAGS: Tables<PruneArgs> = &[SHARED, ALL];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove unused images";
    const ARITY: Arity = Arity::None;

    async fn run(args: PruneArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let filters = with_configured(&args.filter, &context.config(ui).prune_filters);
        let warning = match args.all {
            true => "WARNING! This will remove all images without at least one container associated to them.",
            false => "WARNING! This will remove all dangling images.",
        };
        if !args.force && !confirmed(warning, ui)? {
            return Ok(0);
        }
        let pruned = images(context.engine(ui)?, args.all, &filters).await?;
        tell_all(&[pruned], ui)
    }
}

/// `system prune`.
pub(crate) struct SystemPrune;

impl Command for SystemPrune {
    type Args = PruneArgs;
    const FLAGS: Tables<PruneArgs> = &[SHARED, ALL, VOLUMES];
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove unused data";
    const ARITY: Arity = Arity::None;

    async fn run(args: PruneArgs, _operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        if args.volumes && args.filter.get("until").next().is_some() {
            let why = "ERROR: The \"until\" filter is not supported with \"--volumes\"";
            return Err(CommandError::new(why));
        }
        let filters = with_configured(&args.filter, &context.config(ui).prune_filters);
        if !args.force && !confirmed(&system_warning(args.all, args.volumes, &filters), ui)? {
            return Ok(0);
        }
        let engine = context.engine(ui)?;
        let mut pruned = vec![containers(engine, &filters).await?, networks(engine, &filters).await?];
        if args.volumes {
            pruned.push(volumes(engine, &filters).await?);
        }
        pruned.push(images(engine, args.all, &filters).await?);
        pruned.push(build_cache(engine, args.all, &filters).await?);
        tell_all(&pruned, ui)
    }
}

/// What one kind of objects gave back.
#[derive(Debug)]
struct Pruned {
    title: &'static str,
    lines: Vec<String>,
    bytes: u64,
}

async fn containers(engine: &Client, filters: &Filters) -> Result<Pruned, ClientError> {
    let pruned = engine.prune_containers(filters).await?;
    let lines = pruned.containers_deleted.unwrap_or_default();
    Ok(Pruned { title: "Deleted Containers:", lines, bytes: pruned.space_reclaimed })
}

async fn networks(engine: &Client, filters: &Filters) -> Result<Pruned, ClientError> {
    let lines = engine.prune_networks(filters).await?.networks_deleted.unwrap_or_default();
    Ok(Pruned { title: "Deleted Networks:", lines, bytes: 0 })
}

async fn volumes(engine: &Client, filters: &Filters) -> Result<Pruned, ClientError> {
    let pruned = engine.prune_volumes(filters).await?;
    Ok(Pruned { title: "Deleted Volumes:", lines: pruned.volumes_deleted, bytes: pruned.space_reclaimed })
}

async fn images(engine: &Client, all: bool, filters: &Filters) -> Result<Pruned, ClientError> {
    let mut filters = filters.clone();
    filters.add("dangling", if all { "false" } else { "true" });
    let pruned = engine.prune_images(&filters).await?;
    let lines = pruned.images_deleted.unwrap_or_default().into_iter().map(|deleted| match deleted.untagged {
        Some(name) => format!("untagged: {name}"),
        None => format!("deleted: {}", deleted.deleted.unwrap_or_default()),
    });
    Ok(Pruned { title: "Deleted Images:", lines: lines.collect(), bytes: pruned.space_reclaimed })
}

async fn build_cache(engine: &Client, all: bool, filters: &Filters) -> Result<Pruned, ClientError> {
    let pruned = engine.prune_build_cache(all, filters).await?;
    let lines = pruned.caches_deleted.unwrap_or_default();
    Ok(Pruned { title: "Deleted build cache objects:", lines, bytes: pruned.space_reclaimed })
}

fn tell_all(pruned: &[Pruned], ui: &mut Ui) -> Outcome {
    for pruned in pruned.iter().filter(|pruned| !pruned.lines.is_empty()) {
        writeln!(ui.stdout(), "{}\n{}\n", pruned.title, pruned.lines.join("\n"))?;
    }
    let bytes = pruned.iter().map(|pruned| pruned.bytes).sum::<u64>();
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    writeln!(ui.stdout(), "Total reclaimed space: {}", decimal_size(bytes, 4))?;
    Ok(0)
}

fn system_warning(all: bool, volumes: bool, filters: &Filters) -> String {
    let mut warning =
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one \
                       container\n"
            .to_owned();
    if volumes {
        warning.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    warning.push_str(match all {
        true => "  - all images without at least one container associated to them\n  - all build cache\n",
        false => "  - all dangling images\n  - unused build cache\n",
    });
    if !filters.is_empty() {
        warning.push_str("\n  Items to be pruned will be filtered with:\n");
        filters.pairs().for_each(|pair| warning.push_str(&format!("  - {pair}\n")));
    }
    warning
}

/// Asks; everything but `y` is no, and so is the end of the input.
fn confirmed(warning: &str, ui: &mut Ui) -> io::Result<bool> {
    write!(ui.stdout(), "{warning}\nAre you sure you want to continue? [y/N] ")?;
    ui.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// The filters given, and those of the client's settings that none given contradicts.
fn with_configured(given: &Filters, configured: &[String]) -> Filters {
    let mut filters = given.clone();
    for filter in configured {
        let (name, value) = filter.split_once('=').unwrap_or((filter, ""));
        let contrary = match name {
            "label" => "label!",
            "label!" => "label",
            _ => "",
        };
        if !given.get(contrary).any(|given| given == value) {
            filters.add(name, value);
        }
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_the_settings_yield_to_those_given() {
        let mut given = Filters::default();
        given.add("label", "a=1");
        let configured = ["label!=a=1", "label!=b", "label=c"].map(str::to_owned);
        let filters: Vec<String> = with_configured(&given, &configured).pairs().collect();
        assert_eq!(filters, ["label=a=1", "label=c", "label!=b"]);
    }

    #[test]
    fn the_warning_names_everything_that_goes() {
        let mut filters = Filters::default();
        filters.add("until", "1h");
        filters.add("label", "x");
        let want = "WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all dangling images
  - unused build cache

  Items to be pruned will be filtered with:
  - label=x
  - until=1h
";
        assert_eq!(system_warning(false, false, &filters), want);
        assert!(system_warning(true, true, &filters).contains(
            "  - all anonymous volumes not used by at least one container
  - all images without at least one container associated to them
  - all build cache
"
        ));
    }
}
