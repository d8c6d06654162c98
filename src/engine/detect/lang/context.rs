//! What a rule may refer to: the vocabulary of protocols, variables, classes, references, events; and how strict to be.
//!
//! Built once per load. Every word a rule can use as a keyword is found in one hash table here, whoever's row it is.

use super::config::{Classifications, References};
use super::datasets::{Datasets, ListFiles};
use super::groups::Vars;
use super::reputation::Reputation;
use crate::applayer::{BufferDef, BufferId, EventId, ProtoId, TxKeyword, UnparsedProto, Vocabulary};
use crate::detect::keywords::{self, Keyword};
use crate::detect::transforms::{self, TransformKeyword};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Looks an event's number up by its name.
pub type EventLookup = fn(&str) -> Option<u16>;

/// Events below the application layer, by name.
#[derive(Clone, Copy)]
pub struct Events {
    /// `decode-event`: `ipv4.pkt_too_small`, …
    pub decode: EventLookup,
    /// `stream-event`: `3whs_ack_in_wrong_dir`, …
    pub stream: EventLookup,
}

impl Default for Events {
    /// Those of the engine's own rooms.
    fn default() -> Self {
        Events { decode: crate::decode::events::event_by_name, stream: crate::stream::events::event_by_name }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Unknown classtypes and reference kinds refuse a rule.
    pub strict: bool,
    /// Rules written for another engine's versions: what only those know leaves a rule out instead of refusing it.
    pub foreign: bool,
    /// Rules commented out are read too.
    pub disabled: bool,
    /// No warnings about the cost of a rule.
    pub quiet: bool,
    /// Protocols and keywords that the configuration switched off, each with how: a rule that needs one is refused.
    pub off: Vec<(String, String)>,
}

impl Options {
    /// Why `word` cannot be used: it, or what stands before its first dot, is off.
    pub fn refuses(&self, word: &str) -> Option<&str> {
        let family = |w: &str| word.strip_prefix(w).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.off.iter().find(|(w, _)| family(w)).map(|(_, why)| why.as_str())
    }
}

/// What a word at an option's place is.
#[derive(Clone, Copy)]
pub enum Name {
    Own(&'static Keyword),
    Transform(&'static TransformKeyword),
    Sticky(BufferId, &'static BufferDef),
    Modifier(BufferId, &'static BufferDef),
    Tx(ProtoId, &'static TxKeyword),
    /// Of a protocol without a parser, with how it is written.
    Unparsed(&'static UnparsedProto, Shape),
}

/// How a word of an unparsed protocol is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Sticky,
    Modifier,
    Keyword,
}

pub struct Context {
    pub vocabulary: Vocabulary,
    pub vars: Vars,
    pub classes: Classifications,
    pub references: References,
    pub events: Events,
    pub options: Options,
    /// Sets that the configuration declares, then those of the rules.
    pub datasets: RefCell<Datasets>,
    /// Where lists are read from; `None`: rules that need one are refused.
    pub files: Option<Box<dyn ListFiles>>,
    /// What `iprep` asks.
    pub reputation: Arc<Reputation>,
    names: HashMap<&'static str, Name>,
}

impl Context {
    pub fn new(vocabulary: Vocabulary, events: Events) -> Self {
        Context {
            vocabulary,
            vars: Vars::new(),
            classes: Classifications::default(),
            references: References::default(),
            events,
            options: Options::default(),
            datasets: RefCell::default(),
            files: None,
            reputation: Arc::default(),
            names: names(&vocabulary),
        }
    }

    /// The row of a keyword; case does not matter.
    pub fn name(&self, word: &str) -> Option<Name> {
        self.names.get(word).copied().or_else(|| self.names.get(word.to_ascii_lowercase().as_str()).copied())
    }

    /// Every word known, for suggestions and the manual.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.names.keys().copied()
    }

    /// `proto.event`, or an event of protocol detection by its bare name.
    pub fn app_event(&self, name: &str) -> Option<EventId> {
        let find = |events: &'static [crate::applayer::EventDef], proto: ProtoId, name: &str| {
            let local = events.iter().position(|e| e.name == name)?;
            Some(EventId { proto, local: u8::try_from(local).ok()? })
        };
        if let Some((proto, event)) = name.split_once('.') {
            let def = self.vocabulary.protocol(proto)?;
            return find(def.events, def.id, event);
        }
        find(self.vocabulary.proto_def(ProtoId::ANY)?.events, ProtoId::ANY, name)
    }

    pub fn unparsed(&self, name: &str) -> Option<&'static UnparsedProto> {
        self.vocabulary.unparsed.iter().find(|p| p.name == name || p.aliases.contains(&name))
    }

    /// The known word nearest to `word`, where one is near.
    pub fn nearest(&self, word: &str) -> Option<&'static str> {
        nearest(word, self.words())
    }
}

fn names(v: &Vocabulary) -> HashMap<&'static str, Name> {
    let mut map = HashMap::new();
    let mut put = |word: &'static str, name: Name| {
        map.entry(word).or_insert(name);
    };
    for k in keywords::TABLE {
        put(k.name, Name::Own(k));
        k.aliases.iter().for_each(|a| put(a, Name::Own(k)));
    }
    for t in transforms::TABLE {
        put(t.name, Name::Transform(t));
        t.aliases.iter().for_each(|a| put(a, Name::Transform(t)));
    }
    for (id, def) in v.buffers() {
        put(def.name, Name::Sticky(id, def));
        def.aliases.iter().for_each(|a| put(a, Name::Sticky(id, def)));
        def.modifiers.iter().for_each(|m| put(m, Name::Modifier(id, def)));
    }
    for p in v.protocols {
        p.keywords.iter().for_each(|k| put(k.name, Name::Tx(p.id, k)));
    }
    for p in v.unparsed {
        p.buffers.iter().for_each(|w| put(w, Name::Unparsed(p, Shape::Sticky)));
        p.modifiers.iter().for_each(|w| put(w, Name::Unparsed(p, Shape::Modifier)));
        p.keywords.iter().for_each(|w| put(w, Name::Unparsed(p, Shape::Keyword)));
    }
    map
}

/// The word of `words` with the fewest edits from `word`, where those are few for its length.
pub fn nearest(word: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const LENGTH_MAX: usize = 40;
    if word.len() > LENGTH_MAX {
        return None;
    }
    let allowed = 1 + word.len() / 5;
    words.map(|w| (edits(word, w), w)).filter(|(d, _)| *d <= allowed).min().map(|(_, w)| w)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let change = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = change.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(nearest("conten", ["content", "nocase"].into_iter()), Some("content"));
        assert_eq!(nearest("zzzz", ["content", "nocase"].into_iter()), None);
    }

    #[test]
    fn nothing_is_near_a_long_word() {
        for (len, found) in [(40, true), (41, false)] {
            assert_eq!(
                nearest(&"a".repeat(len), std::iter::once(&*"a".repeat(len + 1).leak())).is_some(),
                found,
                "{len}"
            );
        }
    }
}
