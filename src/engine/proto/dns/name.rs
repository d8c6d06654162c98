//! Domain names as a message carries them, expanded to text with dots (RFC 1035 sections 3.1 and 4.1.4).
//!
//! All names of a message share one arena of text; a name is a span of it. A name that is nothing but a pointer to one
//! already expanded (nearly every owner name of an answer) reuses its span, so a message cannot multiply its own size
//! by pointing at one long name. What remains is bounded three ways: bytes and labels per name, and bytes and steps
//! per message. A name cut by a bound is marked and raises an event; it is never dropped silently.

/// Bytes of one expanded name kept; dnsmasq accepts as many, RFC 1035 has 255.
pub const NAME_BYTES_MAX: usize = 1025;
/// Labels and pointers followed for one name.
pub const NAME_STEPS_MAX: u32 = 255;
/// Labels and pointers followed for one message.
pub const MESSAGE_STEPS_MAX: u32 = 65_536;
/// Text of all names of one message.
pub const MESSAGE_TEXT_MAX: usize = 256 << 10;

const RECENT: usize = 8;

/// The message cannot be read on from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A span of the message's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    start: u32,
    len: u16,
    /// Cut by a bound.
    pub truncated: bool,
}

impl Name {
    pub fn text(self, arena: &[u8]) -> &[u8] {
        let start = self.start as usize;
        arena.get(start..start + usize::from(self.len)).unwrap_or(&[])
    }
}

/// What was odd about the names of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameOddities {
    pub infinite_loop: bool,
    pub too_long: bool,
    pub too_many_labels: bool,
}

/// Reads the names of one message.
pub struct Names<'m> {
    message: &'m [u8],
    text: Vec<u8>,
    steps: u32,
    pub oddities: NameOddities,
    recent: [Option<(u16, Name)>; RECENT],
    recent_next: usize,
}

/// One name being read.
struct Walk {
    pos: usize,
    /// Where the bytes that belong to the name's place end; the message's end after a pointer.
    limit: usize,
    /// Where reading goes on after the name: just past its first pointer.
    resume: Option<usize>,
    begin: usize,
    truncated: bool,
    /// Ended by its zero label, not by a bound or the end of its place.
    whole: bool,
}

impl<'m> Names<'m> {
    /// `text` is the memory for the names.
    pub fn new(message: &'m [u8], mut text: Vec<u8>) -> Self {
        text.clear();
        text.reserve(64);
        Names { message, text, steps: 0, oddities: NameOddities::default(), recent: [None; RECENT], recent_next: 0 }
    }

    /// All names read, end to end.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// The name at `at` in a place that ends at `end`, and where it ends. A place that ends before the name does ends
    /// the name too; a label that crosses the end does not parse.
    pub fn read(&mut self, at: usize, end: usize) -> Result<(Name, usize), Malformed> {
        let begin = self.text.len();
        let mut walk = Walk {
            pos: at,
            limit: end.min(self.message.len()),
            resume: None,
            begin,
            truncated: begin >= MESSAGE_TEXT_MAX,
            whole: false,
        };
        let mut pointer_only = None;
        let mut steps = 0;
        while let Some(&lead) = self.message.get(walk.pos).filter(|_| walk.pos < walk.limit) {
            match lead >> 6 {
                0 if lead == 0 => {
                    walk.pos += 1;
                    walk.whole = true;
                    break;
                }
                0 => self.label(&mut walk, usize::from(lead))?,
                3 => {
                    let Some(target) = self.pointer(&mut walk, lead)? else { break };
                    if steps == 0 {
                        pointer_only = Some(target);
                        if let Some(known) = self.known(target) {
                            return Ok((known, walk.resume.unwrap_or(walk.pos)));
                        }
                    }
                }
                _ => return Err(Malformed),
            }
            steps += 1;
            self.steps += 1;
            // Past the bound names end where they must not be followed any more; without a pointer a name goes only
            // forward, and no further than the message does.
            if self.steps > MESSAGE_STEPS_MAX && walk.resume.is_some() {
                walk.truncated = true;
                break;
            }
            if steps > NAME_STEPS_MAX {
                self.oddities.too_many_labels = true;
                walk.resume.ok_or(Malformed)?;
                walk.truncated = true;
                self.oddities.too_long = true;
                break;
            }
            if self.text.len() - begin > NAME_BYTES_MAX {
                self.text.truncate(begin + NAME_BYTES_MAX);
                walk.truncated = true;
                if walk.resume.is_some() {
                    walk.whole = false;
                    break;
                }
            }
        }
        self.oddities.too_long |= walk.truncated;
        let len = u16::try_from(self.text.len() - begin).unwrap_or(0);
        let name = Name { start: u32::try_from(begin).unwrap_or(0), len, truncated: walk.truncated };
        // A name at its bound is the same for all who point at it.
        let at_bound = pointer_only.is_some() && self.text.len() - begin == NAME_BYTES_MAX;
        if walk.whole && !walk.truncated || at_bound {
            self.remember(pointer_only.unwrap_or(at), name);
        }
        Ok((name, walk.resume.unwrap_or(walk.pos)))
    }

    fn label(&mut self, walk: &mut Walk, len: usize) -> Result<(), Malformed> {
        let next = walk.pos + 1 + len;
        let label = self.message.get(walk.pos + 1..next).filter(|_| next <= walk.limit).ok_or(Malformed)?;
        if !walk.truncated {
            if self.text.len() > walk.begin {
                self.text.push(b'.');
            }
            self.text.extend_from_slice(label);
        }
        walk.pos = next;
        Ok(())
    }

    /// Follows a pointer. `None`: it points at itself, the name ends here.
    fn pointer(&mut self, walk: &mut Walk, lead: u8) -> Result<Option<usize>, Malformed> {
        let low = self.message.get(walk.pos + 1).filter(|_| walk.pos + 1 < walk.limit).ok_or(Malformed)?;
        let target = usize::from(u16::from_be_bytes([lead & 0x3f, *low]));
        if target > self.message.len() {
            return Err(Malformed);
        }
        if target == walk.pos {
            self.oddities.infinite_loop = true;
            walk.resume.ok_or(Malformed)?;
            return Ok(None);
        }
        walk.resume.get_or_insert(walk.pos + 2);
        walk.pos = target;
        walk.limit = self.message.len();
        Ok(Some(target))
    }

    fn known(&self, at: usize) -> Option<Name> {
        self.recent.iter().flatten().find(|(offset, _)| usize::from(*offset) == at).map(|(_, name)| *name)
    }

    fn remember(&mut self, at: usize, name: Name) {
        let Ok(offset) = u16::try_from(at) else { return };
        if self.known(at).is_some() {
            return;
        }
        if let Some(slot) = self.recent.get_mut(self.recent_next % RECENT) {
            *slot = Some((offset, name));
        }
        self.recent_next = self.recent_next.wrapping_add(1);
    }
}
