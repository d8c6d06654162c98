//! A suricata.yaml as a tree of text with places, before any key has a meaning.
//!
//! Scalars stay the text they were written as: what `yes` or `0x10` means is the key's business, and a reader that
//! guesses types would turn a group named `on` into a truth. Underscores in keys count as dashes outside of the variable
//! groups. The number of nodes is bounded, so that aliases cannot multiply; nesting is bounded by the parser.

use crate::config::Error;
use granit_parser::{Event, Options, Parser};
use std::sync::Arc;

/// Nodes of one tree, aliases counted each time.
const NODES_MAX: usize = 1 << 16;
/// Positions of a list that `--set` may reach.
const INDEX_MAX: usize = 1 << 10;

/// Where a node was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the `--set` as given.
    pub origin: Arc<str>,
    /// Line and column from 1; `None` for a `--set`.
    pub at: Option<(u64, u64)>,
}

impl Place {
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error { origin: self.origin.to_string(), place: self.at, message: message.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A scalar; empty where nothing was written.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub fn empty(place: Place) -> Self {
        Node { place, value: Value::Text(String::new()) }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(m) => m,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(l) => l,
            _ => &[],
        }
    }

    /// The entry of a map; of several of one name the last.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().rev().find(|(k, _)| k == key).map(|(_, n)| n)
    }

    /// The node at a dotted path of map keys.
    pub fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |n, key| n.get(key))
    }

    /// Lays `--set a.1.b=value` over the tree, making what is not there.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        let place = Place { origin: format!("--set {assignment}").into(), at: None };
        let (path, value) = assignment.split_once('=').ok_or_else(|| place.error("write --set name.of.key=value"))?;
        let path = path.trim();
        if path.is_empty() || path.split('.').any(|k| k.trim().is_empty()) {
            return Err(place.error("the key must be names joined by dots, such as stream.midstream"));
        }
        let mut node = self;
        for key in path.split('.') {
            node = node.step(key.trim(), &place)?;
        }
        *node = Node { value: Value::Text(value.trim().to_string()), place };
        Ok(())
    }

    /// The child `key`, made if missing. Digits count into a list.
    fn step(&mut self, key: &str, place: &Place) -> Result<&mut Node, Error> {
        let index = key.parse::<usize>().ok();
        if let (Value::Text(t), Some(_)) = (&self.value, index)
            && t.is_empty()
        {
            self.value = Value::List(Vec::new());
        }
        if matches!(self.value, Value::List(_))
            && let Some(i) = index
        {
            let Value::List(list) = &mut self.value else { return Err(place.error("not a list")) };
            if i >= INDEX_MAX {
                return Err(place.error(format!("{i} is past the {INDEX_MAX} entries a list may have")));
            }
            while list.len() <= i {
                list.push(Node::empty(place.clone()));
            }
            return list.get_mut(i).ok_or_else(|| place.error("not a list"));
        }
        if let Value::Text(t) = &self.value {
            // `- alert` and `- alert: {…}` are two ways to write the same entry.
            let entries = if t.is_empty() { Vec::new() } else { vec![(t.clone(), Node::empty(self.place.clone()))] };
            self.value = Value::Map(entries);
        }
        let Value::Map(map) = &mut self.value else {
            return Err(place.error(format!("`{key}` names an entry of a list: use its number, from 0")));
        };
        let i = match map.iter().rposition(|(k, _)| k == key) {
            Some(i) => i,
            None => {
                map.push((key.to_string(), Node::empty(place.clone())));
                map.len() - 1
            }
        };
        map.get_mut(i).map(|(_, n)| n).ok_or_else(|| place.error("not a map"))
    }
}

/// Underscores in the names of keys count as dashes, but not in the names of variable groups.
fn mangled(key: String, groups: bool) -> String {
    if groups { key } else { key.replace('_', "-") }
}

/// The first document of `text`. `origin` names it in errors.
pub fn parse(text: &str, origin: &str) -> Result<Node, Error> {
    let origin: Arc<str> = origin.into();
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader { origin: origin.clone(), open: Vec::new(), anchors: Vec::new(), nodes: 0, root: None };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) =
            next.map_err(|e| Place { origin: origin.clone(), at: Some(place_of(e.marker())) }.error(e.info()))?;
        let place = Place { origin: origin.clone(), at: Some(place_of(&span.start)) };
        if !reader.event(event, place)? {
            break;
        }
    }
    Ok(reader.root.unwrap_or_else(|| Node::empty(Place { origin, at: Some((1, 1)) })))
}

fn place_of(m: &granit_parser::Marker) -> (u64, u64) {
    (m.line() as u64, m.col() as u64 + 1)
}

/// A collection under construction.
struct Open {
    node: Node,
    /// Of a map: the key whose value comes next.
    key: Option<String>,
    anchor: usize,
    /// The entries are variable groups.
    groups: bool,
}

struct Reader {
    origin: Arc<str>,
    open: Vec<Open>,
    anchors: Vec<(usize, Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Reader {
    /// `false`: the document has ended.
    fn event(&mut self, event: Event<'_>, place: Place) -> Result<bool, Error> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == granit_parser::ScalarStyle::Plain && matches!(&*text, "~" | "null");
                let text = if null { String::new() } else { text.into_owned() };
                self.node(Node { place, value: Value::Text(text) }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(place, Value::List(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => self.begin(place, Value::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    self.node(done.node, done.anchor)?;
                }
            }
            Event::Alias(id) => match self.anchors.iter().rev().find(|a| a.0 == id) {
                Some((_, node, size)) => {
                    self.nodes += size;
                    let node = Node { place, ..node.clone() };
                    self.node(node, 0)?;
                }
                None => return Err(place.error("the alias stands inside of what it names")),
            },
            Event::DocumentEnd => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    fn begin(&mut self, place: Place, value: Value, anchor: usize) {
        let key = self.open.last().and_then(|o| o.key.as_deref());
        let groups = matches!(key, Some("address-groups" | "port-groups"));
        self.open.push(Open { node: Node { place, value }, key: None, anchor, groups });
    }

    /// Puts a whole node where it belongs.
    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let at = Place { origin: self.origin.clone(), at: node.place.at };
            return Err(at.error(format!("more than {NODES_MAX} values")));
        }
        if anchor > 0 {
            self.anchors.push((anchor, node.clone(), size(&node)));
        }
        let Some(Open { node: parent, key, groups, .. }) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.value {
            Value::List(list) => list.push(node),
            Value::Map(map) => match key.take() {
                Some(key) => map.push((key, node)),
                None => match node.value {
                    Value::Text(t) => *key = Some(mangled(t, *groups)),
                    _ => return Err(node.place.error("a key must be a plain word")),
                },
            },
            Value::Text(_) => {}
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Text(_) => 0,
        Value::List(l) => l.iter().map(size).sum::<usize>(),
        Value::Map(m) => m.iter().map(|(_, n)| size(n)).sum(),
    }
}
