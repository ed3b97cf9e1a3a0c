//! The event bus: what happened, to whoever listens, and the latest again to whoever asks.
//!
//! Publishing never waits: a listener that falls too far behind loses the oldest and is told by the log, nobody else is
//! held up. Nothing of it is on disk: as with Docker, a new engine's past begins with its own start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use api_types::system::{Actor, EventMessage};
use tokio::sync::{broadcast, mpsc};

use crate::params::{EventsQuery, Filters, LabelFilter};

/// Events that a late listener can still ask for; as many as dockerd keeps.
const REMEMBERED: usize = 256;

/// How far a listener may fall behind.
const BACKLOG: usize = 1024;

/// The bus.
#[derive(Debug)]
pub struct Events {
    live: broadcast::Sender<EventMessage>,
    past: Mutex<VecDeque<EventMessage>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { live: broadcast::Sender::new(BACKLOG), past: Mutex::default() }
    }
}

/// Nanoseconds since the Unix epoch.
pub fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// An event of `kind` (`container`, `image`, …) about `id`.
pub fn event(kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) -> EventMessage {
    let at = now();
    let legacy = matches!(kind, "container" | "image");
    EventMessage {
        status: if legacy { action.to_owned() } else { String::new() },
        id: if legacy { id.to_owned() } else { String::new() },
        from: if kind == "container" {
            attributes.get("image").cloned().unwrap_or_default()
        } else {
            String::new()
        },
        kind: kind.to_owned(),
        action: action.to_owned(),
        actor: Actor { id: id.to_owned(), attributes },
        scope: "local".to_owned(),
        time: at / 1_000_000_000,
        time_nano: at,
    }
}

/// That what nobody uses of a kind has been removed, and how many bytes that gave back.
pub(crate) fn pruned(kind: &str, reclaimed: u64) -> EventMessage {
    event(kind, "prune", "", BTreeMap::from([("reclaimed".to_owned(), reclaimed.to_string())]))
}

impl Events {
    /// Tells everybody.
    pub fn publish(&self, event: EventMessage) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Within the lock, so that a new listener misses none and sees none twice. Nobody listening is no failure.
        let _ = self.live.send(event);
    }

    /// Number of listeners.
    pub fn listeners(&self) -> usize {
        self.live.receiver_count()
    }

    /// Past events since `query.since`, then live ones, until `query.until` or until the receiver is dropped.
    pub fn subscribe(&self, query: EventsQuery) -> mpsc::Receiver<EventMessage> {
        let filter = EventFilter(query.filters);
        let (replay, live) = {
            let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
            let replay: Vec<EventMessage> = match query.since {
                Some(since) => past.iter().filter(|event| event.time_nano >= since).cloned().collect(),
                None => Vec::new(),
            };
            (replay, self.live.subscribe())
        };
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(forward(replay, live, query.until, filter, sender));
        receiver
    }
}

async fn forward(
    replay: Vec<EventMessage>,
    mut live: broadcast::Receiver<EventMessage>,
    until: Option<i64>,
    filter: EventFilter,
    sender: mpsc::Sender<EventMessage>,
) {
    let wanted =
        |event: &EventMessage| until.is_none_or(|until| event.time_nano <= until) && filter.matches(event);
    for event in replay.into_iter().filter(|event| wanted(event)) {
        if sender.send(event).await.is_err() {
            return;
        }
    }
    let end = async {
        match until {
            Some(until) => {
                let left = u64::try_from(until - now()).unwrap_or(0);
                tokio::time::sleep(std::time::Duration::from_nanos(left)).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            event = live.recv() => event,
            () = sender.closed() => return,
            () = &mut end => return,
        };
        match event {
            Ok(event) if wanted(&event) => {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "a slow listener lost events");
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Filters of an event query. A name that nobody knows narrows nothing: Docker's clients send what newer engines
/// understand.
#[derive(Debug)]
struct EventFilter(Filters);

impl EventFilter {
    fn matches(&self, event: &EventMessage) -> bool {
        self.0.0.iter().all(|(name, values)| values.is_empty() || Self::one(event, name, values))
    }

    fn one(event: &EventMessage, name: &str, values: &[String]) -> bool {
        let attributes = &event.actor.attributes;
        let named = |kind: &str| {
            event.kind == kind
                && values.iter().any(|value| {
                    event.actor.id.starts_with(value.as_str())
                        || attributes.get("name").is_some_and(|name| name.starts_with(value.as_str()))
                })
        };
        match name {
            "type" => values.contains(&event.kind),
            "scope" => values.contains(&event.scope),
            // `exec_create: sh -c …` matches `exec_create`.
            "event" => values.iter().any(|value| {
                event.action == *value
                    || event.action.strip_prefix(value.as_str()).is_some_and(|rest| rest.starts_with(':'))
            }),
            "label" => values.iter().all(|wanted| LabelFilter::parse(wanted).matches(Some(attributes))),
            "image" => {
                named("image")
                    || values.iter().any(|value| {
                        attributes.get("image").is_some_and(|image| {
                            image == value || image.split([':', '@']).next() == Some(value.as_str())
                        }) || event.kind == "image"
                            && attributes
                                .get("name")
                                .is_some_and(|name| name.split([':', '@']).next() == Some(value.as_str()))
                    })
            }
            "config" | "container" | "daemon" | "network" | "node" | "plugin" | "secret" | "service"
            | "volume" => named(name),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(name: &str, value: &str) -> Filters {
        Filters(BTreeMap::from([(name.to_owned(), vec![value.to_owned()])]))
    }

    #[test]
    fn filters_match_as_dockers_do() {
        let attributes = BTreeMap::from([
            ("name".into(), "web".into()),
            ("image".into(), "bb:1".into()),
            ("tier".into(), "a".into()),
        ]);
        let event = event("container", "exec_start: sh", "abcdef", attributes);
        for (name, value, expected) in [
            ("type", "container", true),
            ("type", "image", false),
            ("container", "web", true),
            ("container", "we", true),
            ("container", "eb", false),
            ("container", "abc", true),
            ("event", "exec_start", true),
            ("event", "exec", false),
            ("label", "tier", true),
            ("label", "tier=b", false),
            ("image", "bb:1", true),
            ("image", "bb", true),
            ("image", "b", false),
            ("network", "web", false),
            ("nobody-knows", "web", true),
        ] {
            let filter = EventFilter(filters(name, value));
            assert_eq!(filter.matches(&event), expected, "{name}={value}");
        }
    }

    #[tokio::test]
    async fn a_listener_gets_the_past_and_then_the_present_once() {
        let events = Events::default();
        events.publish(event("image", "tag", "1", BTreeMap::new()));
        let query = EventsQuery { since: Some(0), ..EventsQuery::default() };
        let mut listener = events.subscribe(query);
        events.publish(event("image", "untag", "1", BTreeMap::new()));
        assert_eq!(listener.recv().await.unwrap().action, "tag");
        assert_eq!(listener.recv().await.unwrap().action, "untag");
    }
}
