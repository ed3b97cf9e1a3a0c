//! `pull`: fetches an image from a registry. `run` and `create` use it for images that are not there.

use std::io::{self, Write};

use api_client::Client;
use api_types::base64;
use oci::reference::Reference;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::{Flag, Tables, flag};
use crate::progress::Screen;
use crate::request::flags::ContainerArgs;
use crate::ui::{self, Ui};

/// Values of the flags.
#[derive(Debug, Default)]
pub(crate) struct PullArgs {
    all_tags: bool,
    content_trust: Option<bool>,
    platform: String,
    quiet: bool,
}

const FLAGS: &[Flag<PullArgs>] = &[
    flag!(PullArgs, all_tags, 'a', "all-tags", "Pull every tag of the repository"),
    flag!(PullArgs, content_trust, "disable-content-trust", ""),
    flag!(PullArgs, platform, "platform", "Platform of the image, os[/arch[/variant]]"),
    flag!(PullArgs, quiet, 'q', "quiet", "Print the image's name only"),
];

/// `pull`.
pub(crate) struct Pull;

impl Command for Pull {
    type Args = PullArgs;
    const FLAGS: Tables<PullArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG|@DIGEST]";
    const ABOUT: &'static str = "Fetch an image from a registry";
    const ARITY: Arity = Arity::Exactly(1);

    async fn run(args: PullArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        if args.content_trust == Some(false) {
            let text = "content trust is not supported; leave out --disable-content-trust=false";
            return Err(CommandError::new(text));
        }
        let reference: Reference = operands[0]
            .parse()
            .map_err(|error: oci::reference::ReferenceError| CommandError::new(error.to_string()))?;
        let is_bare = reference.tag().is_none() && reference.digest().is_none();
        if args.all_tags && !is_bare {
            return Err(CommandError::new("tag can't be used with --all-tags/-a"));
        }
        let platform = chosen_platform(&args.platform);
        if !platform.is_empty() {
            check_platform(&platform)?;
        }
        let auth = auth_for(&reference, context, ui);
        let engine = context.engine(ui)?;
        if is_bare && !args.all_tags && !args.quiet {
            writeln!(ui.stdout(), "Using default tag: latest")?;
            ui.flush()?;
        }
        let reference = if args.all_tags { reference } else { reference.with_default_tag() };
        let (name, tag) = name_and_tag(&reference);
        let stream = engine.pull_image(&name, &tag, &platform, &auth).await?;
        if args.quiet {
            Screen::new(&mut io::sink(), None).show(stream).await?;
        } else {
            let columns = ui::stdout_is_terminal().then(|| ui::terminal_size().columns);
            Screen::new(ui.stdout(), columns).show(stream).await?;
        }
        writeln!(ui.stdout(), "{reference}")?;
        Ok(0)
    }
}

/// Repository, and what chooses in it: a digest before a tag.
fn name_and_tag(reference: &Reference) -> (String, String) {
    let chosen = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or_default().to_owned(),
    };
    (reference.familiar_name(), chosen)
}

/// The credentials for a registry as the API takes them: base64 of JSON, empty when there are none.
fn auth_for(reference: &Reference, context: &Context, ui: &mut Ui) -> String {
    let host = match reference.domain() {
        oci::reference::DEFAULT_DOMAIN => "https://index.docker.io/v1/",
        domain => domain,
    };
    let Some(auth) = context.config(ui).auths.get(host) else { return String::new() };
    let decoded =
        base64::decode(&auth.auth).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (user, password) = decoded.split_once(':').unwrap_or(("", ""));
    let document = serde_json::json!({
        "username": user,
        "password": password.trim_end_matches('\0'),
        "serveraddress": host,
        "identitytoken": auth.identitytoken,
        "registrytoken": auth.registrytoken,
    });
    base64::encode_url(document.to_string().as_bytes())
}

/// Fetches the image of a new container, with the progress on standard error: standard output is for its id.
pub(crate) async fn pull_for_container(
    engine: &Client,
    image: &str,
    args: &ContainerArgs,
    context: &Context,
    ui: &mut Ui,
) -> Result<(), CommandError> {
    let reference: Reference = image
        .parse()
        .map_err(|error: oci::reference::ReferenceError| CommandError::new(error.to_string()))?;
    let reference = reference.with_default_tag();
    let auth = auth_for(&reference, context, ui);
    let (name, tag) = name_and_tag(&reference);
    let platform = chosen_platform(&args.platform);
    let stream = engine.pull_image(&name, &tag, &platform, &auth).await?;
    if args.quiet {
        Screen::new(&mut io::sink(), None).show(stream).await?;
    } else {
        let columns = ui::stderr_is_terminal().then(|| ui::terminal_size().columns);
        Screen::new(ui.stderr(), columns).show(stream).await?;
    }
    Ok(())
}

/// The image's name as people write it; none for an id.
pub(crate) fn parse_reference(image: &str) -> Result<Option<String>, CommandError> {
    if oci::reference::is_id(image) || image.parse::<oci::digest::Digest>().is_ok() {
        return Ok(None);
    }
    match image.parse::<Reference>() {
        Ok(reference) => Ok(Some(reference.with_default_tag().familiar())),
        Err(error) => Err(CommandError::new(error.to_string())),
    }
}

/// The platform that a flag names, or else the environment.
pub(crate) fn chosen_platform(flag: &str) -> String {
    match flag {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        flag => flag.to_owned(),
    }
}

/// Refuses what is no platform.
pub(crate) fn check_platform(text: &str) -> Result<oci::platform::Platform, CommandError> {
    text.parse().map_err(|_| {
        let quoted = crate::flags::value::quoted(text);
        let why = match text.split('/').count() {
            1 => "unknown operating system or architecture",
            _ => "cannot parse platform specifier",
        };
        CommandError::new(format!("error parsing specified platform: {quoted}: {why}: invalid argument"))
    })
}

/// A platform as JSON, the form that newer endpoints take; empty stays empty.
pub(crate) fn platform_json(text: &str) -> Result<String, CommandError> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let platform = check_platform(text)?;
    Ok(serde_json::to_string(&platform).expect("a platform has string fields only, so it is always JSON"))
}
