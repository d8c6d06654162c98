//! The body of one message: decoded, kept up to a limit, and the files it carries.
//!
//! The head of the decoded body is kept up to `limit` and inspected there; files are tracked over the same bytes and are
//! truncated where it ends. Invariants: `data.len() <= limit`; `parts` holds one content per file of a form, together no
//! more than `data`; at most [`FILES_MAX`] files.

use super::charset::{self, Charset, Recoder};
use super::multipart::{Item, Multipart};
use super::reuse;
use super::tables::event;
use crate::applayer::files::{File, FileState, Hashes, NAME_MAX, Tracker};
use crate::applayer::inflate::{Inflater, Trouble};
use crate::applayer::{Buffer, EventId, TxId};
use crate::types::Direction;

pub const FILES_MAX: usize = 256;

/// What the body is, beside bytes.
#[derive(Debug, Default)]
enum Carries {
    #[default]
    Nothing,
    /// One file of this name, the body itself, from its first byte on.
    Named(Vec<u8>),
    File(Tracker),
    Form(Box<Multipart>, Option<Tracker>),
}

/// In what letters the body is written.
#[derive(Debug, Default)]
enum Alphabet {
    /// Not known before so many first bytes, unless the message named it.
    #[default]
    Unknown,
    Named(Charset),
    /// So far nothing in it was written otherwise than in ASCII.
    Same(Charset),
    Other(Box<Recoder>),
    Plain,
}

/// Where a file belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub tx: TxId,
    pub direction: Direction,
    pub hashes: Hashes,
}

#[derive(Debug, Default)]
pub struct Payload {
    data: Vec<u8>,
    limit: usize,
    /// Bytes on the wire, without chunk framing.
    pub wire: u64,
    /// Bytes of chunk framing, up to and with the last chunk's length.
    pub framing: u64,
    /// Bytes after decoding.
    pub entity: u64,
    pub begun: bool,
    complete: bool,
    /// Of `wire`, those before all was had that is looked at.
    read: Option<u64>,
    inflater: Option<Box<Inflater>>,
    carries: Carries,
    pub files: Vec<File>,
    /// Of a form, what its files may be called: `None` for each file's own name, behind it those that other readers take.
    names: Vec<Option<Vec<u8>>>,
    /// Contents of the files of a form.
    parts: Vec<Vec<u8>>,
    alphabet: Alphabet,
    /// What the body says in an alphabet that rules are not written in.
    text: Vec<u8>,
    pub bombs: u8,
    /// What names of earlier files left.
    spare_name: Vec<u8>,
}

impl Payload {
    /// As if nothing of it had come; buffers keep their room.
    pub fn empty(&mut self) {
        let file = self.files.first_mut().map(|f| std::mem::take(&mut f.name));
        let spare_name = file.unwrap_or(std::mem::take(&mut self.spare_name));
        let (data, text) = (std::mem::take(&mut self.data), std::mem::take(&mut self.text));
        self.files.clear();
        self.files.shrink_to(1);
        let files = std::mem::take(&mut self.files);
        *self = Payload { data, text, files, spare_name, ..Payload::default() };
        [&mut self.data, &mut self.text, &mut self.spare_name].into_iter().for_each(reuse::empty);
    }

    /// `charset`: what the message says of the body's letters.
    pub fn begin(&mut self, limit: usize, inflater: Option<Inflater>, charset: Option<Charset>) {
        self.limit = limit;
        self.begun = true;
        self.alphabet = charset.map_or(Alphabet::Unknown, Alphabet::Named);
        self.inflater = inflater.map(Box::new);
    }

    /// An empty buffer for a name.
    pub fn name_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare_name)
    }

    /// The body as a whole is a file of this name; called once, before its first byte.
    pub fn carry_file(&mut self, name: Vec<u8>) {
        self.carries = Carries::Named(name);
    }

    pub fn carry_form(&mut self, form: Multipart) {
        self.carries = Carries::Form(Box::new(form), None);
    }

    /// Bytes of the message body, in order.
    pub fn push(&mut self, wire: &[u8], place: Place, next_id: &mut u32, events: &mut Vec<EventId>) {
        self.wire = self.wire.saturating_add(wire.len() as u64);
        self.decode(wire, place, next_id, events);
        if self.data.len() >= self.limit && matches!(self.carries, Carries::Nothing) {
            self.read.get_or_insert(self.wire);
        }
    }

    /// Bytes since all was had that is looked at.
    pub fn past(&self) -> Option<u64> {
        self.read.map(|read| self.wire.saturating_sub(read))
    }

    fn decode(&mut self, wire: &[u8], place: Place, next_id: &mut u32, events: &mut Vec<EventId>) {
        let Some(mut inflater) = self.inflater.take() else {
            return self.plain(wire, place, next_id, events);
        };
        inflater.push(wire, &mut |plain| self.plain(plain, place, next_id, events));
        match inflater.take_trouble() {
            Some(Trouble::Invalid) => events.push(event::GZIP_DECOMPRESSION_FAILED),
            Some(Trouble::Bomb) => {
                events.push(event::COMPRESSION_BOMB);
                self.bombs = self.bombs.saturating_add(1);
            }
            None => {}
        }
        self.inflater = Some(inflater);
    }

    /// Bytes of the body that were never seen.
    pub fn gap(&mut self, len: u64, place: Place, next_id: &mut u32, events: &mut Vec<EventId>) {
        self.wire = self.wire.saturating_add(len);
        if let Some(mut inflater) = self.inflater.take() {
            inflater.gap(&mut |plain| self.plain(plain, place, next_id, events));
            self.inflater = Some(inflater);
        }
        self.open_named(place, next_id);
        if let (Carries::File(t) | Carries::Form(_, Some(t)), Some(f)) = (&mut self.carries, self.files.last_mut()) {
            t.gap(f, len);
        }
    }

    /// The message has ended; `whole` when by its own framing.
    pub fn finish(&mut self, whole: bool, place: Place, next_id: &mut u32, events: &mut Vec<EventId>) {
        if self.complete {
            return;
        }
        if let Some(mut inflater) = self.inflater.take() {
            inflater.finish(&mut |plain| self.plain(plain, place, next_id, events));
        }
        self.complete = true;
        if self.spell(0) {
            events.push(event::BODY_ALPHABET);
        }
        let state = if whole { FileState::Closed } else { FileState::Truncated };
        match std::mem::take(&mut self.carries) {
            Carries::Nothing | Carries::Named(_) => {}
            Carries::File(t) => {
                if let Some(f) = self.files.last_mut() {
                    t.close(f, state);
                }
            }
            Carries::Form(mut form, tracker) => {
                let mut open = tracker;
                form.finish(&mut |item| self.item(item, &mut open, state, place, next_id, events));
            }
        }
    }

    /// The names of the files, each file's own followed by others it may be known by.
    pub fn file_name(&self, index: usize) -> Option<&[u8]> {
        match self.names.get(index) {
            None if self.names.is_empty() => self.files.get(index).map(|f| f.name.as_slice()),
            None => None,
            Some(Some(other)) => Some(other),
            Some(None) => {
                let file = self.names.iter().take(index).filter(|n| n.is_none()).count();
                self.files.get(file).map(|f| f.name.as_slice())
            }
        }
    }

    pub fn memory(&self) -> usize {
        self.data.capacity()
            + self.spare_name.capacity()
            + self.text.capacity()
            + self.names.iter().map(|n| size_of_val(n) + n.as_ref().map_or(0, Vec::capacity)).sum::<usize>()
            + self.parts.iter().map(Vec::capacity).sum::<usize>()
            + self.files.iter().map(|f| size_of::<File>() + f.name.capacity()).sum::<usize>()
            + self.inflater.as_ref().map_or(0, |i| i.memory())
            + match &self.carries {
                Carries::Form(f, _) => f.memory(),
                Carries::Named(n) => n.capacity(),
                Carries::Nothing | Carries::File(_) => 0,
            }
    }

    /// The decoded body, and behind it what it says in letters of its own.
    pub fn instance(&self, index: usize) -> Option<Buffer<'_>> {
        match index {
            0 => self.body(),
            1 if !self.text.is_empty() => Some(self.view(&self.text)),
            _ => None,
        }
    }

    /// The decoded body.
    pub fn body(&self) -> Option<Buffer<'_>> {
        (self.begun && (!self.data.is_empty() || self.entity > 0)).then(|| self.view(&self.data))
    }

    /// Content of the `index`-th file.
    pub fn file(&self, index: usize) -> Option<Buffer<'_>> {
        self.files.first()?;
        match self.parts.get(index).zip(self.files.get(index)) {
            Some((p, file)) => Some(Buffer { data: p, offset: 0, complete: file.state != FileState::Open }),
            None if !self.parts.is_empty() => None,
            None => self.instance(index),
        }
    }

    fn view<'a>(&'a self, data: &'a [u8]) -> Buffer<'a> {
        Buffer { data, offset: 0, complete: self.complete || self.data.len() >= self.limit }
    }

    fn plain(&mut self, plain: &[u8], place: Place, next_id: &mut u32, events: &mut Vec<EventId>) {
        self.entity = self.entity.saturating_add(plain.len() as u64);
        let room = self.limit.saturating_sub(self.data.len());
        let cut = plain.len() > room;
        let kept = plain.get(..room.min(plain.len())).unwrap_or_default();
        self.data.extend_from_slice(kept);
        if self.spell(kept.len()) {
            events.push(event::BODY_ALPHABET);
        }
        if !plain.is_empty() {
            self.open_named(place, next_id);
        }
        match std::mem::take(&mut self.carries) {
            Carries::Nothing => {}
            named @ Carries::Named(_) => self.carries = named,
            Carries::File(mut t) => {
                if let Some(f) = self.files.last_mut().filter(|f| f.state == FileState::Open) {
                    t.push(f, kept);
                    if cut {
                        return t.close(f, FileState::Truncated);
                    }
                }
                self.carries = Carries::File(t);
            }
            Carries::Form(mut form, mut open) => {
                let closed = FileState::Closed;
                form.push(kept, &mut |item| self.item(item, &mut open, closed, place, next_id, events));
                if cut {
                    let state = FileState::Truncated;
                    return form.finish(&mut |item| self.item(item, &mut open, state, place, next_id, events));
                }
                self.carries = Carries::Form(form, open);
            }
        }
    }

    /// The body's first byte, seen or lost, begins its file.
    fn open_named(&mut self, place: Place, next_id: &mut u32) {
        if !matches!(self.carries, Carries::Named(_)) {
            return;
        }
        let Carries::Named(name) = std::mem::take(&mut self.carries) else { return };
        *next_id = next_id.saturating_add(1);
        let (file, tracker) = Tracker::open(name, place.direction, *next_id, place.tx, place.hashes);
        self.files.push(file);
        self.carries = Carries::File(tracker);
    }

    /// Puts the `fresh` last bytes of the body into letters that rules know, where it uses others. Whether it is newly
    /// known to be in another alphabet.
    fn spell(&mut self, fresh: usize) -> bool {
        let mut found = false;
        let mut from = self.data.len().saturating_sub(fresh);
        if matches!(self.alphabet, Alphabet::Unknown | Alphabet::Named(_)) {
            if self.data.len() < charset::SNIFF && !self.complete {
                return false;
            }
            from = 0;
            let named = if let Alphabet::Named(c) = self.alphabet { Some(c) } else { None };
            self.alphabet = match Charset::sniffed(&self.data).or(named) {
                Some(c) => Alphabet::Same(c),
                None => Alphabet::Plain,
            };
        }
        if let Alphabet::Same(c) = self.alphabet
            && c.differs(&self.data, from)
        {
            self.alphabet = Alphabet::Other(Box::new(Recoder::new(c)));
            from = 0;
            found = c != Charset::JsonEscapes;
        }
        if let Alphabet::Other(r) = &mut self.alphabet {
            r.push(self.data.get(from..).unwrap_or_default(), &mut self.text);
        }
        found
    }

    fn item(
        &mut self,
        item: Item<'_>,
        open: &mut Option<Tracker>,
        closed: FileState,
        place: Place,
        next_id: &mut u32,
        events: &mut Vec<EventId>,
    ) {
        match item {
            Item::Open(_) if self.files.len() >= FILES_MAX => *open = None,
            Item::Open(names) => {
                let name = names.first().map_or(&[][..], Vec::as_slice);
                self.names.push(None);
                self.names.extend(names.iter().skip(1).map(|n| Some(n.clone())));
                *next_id = next_id.saturating_add(1);
                let name = name.get(..NAME_MAX).unwrap_or(name).to_vec();
                let (file, tracker) = Tracker::open(name, place.direction, *next_id, place.tx, place.hashes);
                self.files.push(file);
                self.parts.push(Vec::new());
                *open = Some(tracker);
            }
            Item::Data(d) => {
                if let (Some(t), Some(f), Some(p)) = (open, self.files.last_mut(), self.parts.last_mut()) {
                    t.push(f, d);
                    p.extend_from_slice(d);
                }
            }
            Item::Close { empty } => {
                if empty {
                    events.push(event::MULTIPART_NO_FILEDATA);
                }
                if let (Some(t), Some(f)) = (open.take(), self.files.last_mut()) {
                    t.close(f, closed);
                }
            }
            Item::InvalidHeader => events.push(event::MULTIPART_INVALID_HEADER),
        }
    }
}
