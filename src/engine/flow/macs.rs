//! Hardware addresses seen at either end of a flow, where records show them.

use crate::decode::{EtherHeader, Span};
use crate::types::{Direction, PerDirection};

/// Addresses kept of one end; later ones are not.
pub const MACS_MAX: usize = 10;

/// In the order seen, each once: the client's, which packets to the server come from, and the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Macs(PerDirection<Vec<[u8; 6]>>);

impl Macs {
    pub fn note(&mut self, e: &EtherHeader, dir: Direction) {
        for (end, address) in [(dir, e.src), (dir.flip(), e.dst)] {
            let known = &mut self.0[end];
            if known.len() < MACS_MAX && !known.contains(&address) {
                known.push(address);
            }
        }
    }

    /// Of the end that sends in `dir`.
    pub fn from(&self, dir: Direction) -> &[[u8; 6]] {
        &self.0[dir]
    }

    /// The first way seen, from client to server.
    pub fn first(&self) -> Option<EtherHeader> {
        let (src, dst) = (*self.0.to_server.first()?, *self.0.to_client.first()?);
        Some(EtherHeader { dst, src, ether_type: 0, header: Span::default() })
    }

    pub(super) fn reverse(&mut self) {
        std::mem::swap(&mut self.0.to_server, &mut self.0.to_client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart_and_bounded() {
        let mut m = Macs::default();
        let e = |src: u8, dst: u8| EtherHeader { src: [src; 6], dst: [dst; 6], ether_type: 0, header: Span::default() };
        m.note(&e(1, 2), Direction::ToServer);
        m.note(&e(3, 1), Direction::ToClient);
        assert_eq!((m.from(Direction::ToServer), m.from(Direction::ToClient)), (&[[1; 6]][..], &[[2; 6], [3; 6]][..]));
        m.reverse();
        assert_eq!(m.from(Direction::ToClient), [[1; 6]]);
        (0..40).for_each(|n| m.note(&e(n, 100 + n), Direction::ToServer));
        assert_eq!((m.from(Direction::ToServer).len(), m.from(Direction::ToClient).len()), (MACS_MAX, MACS_MAX));
    }
}
