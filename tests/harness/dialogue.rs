//! Real TCP without a kernel: two smoltcp stacks in one process, every frame between them recorded.
//!
//! Deterministic: packet time advances by a fixed step per exchange of frames. The wire between the stacks can lose
//! frames on request, so that retransmissions are the stacks' own.

use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

/// One request and what the server answers to it.
pub struct Exchange {
    pub request: Vec<u8>,
    pub response: Vec<u8>,
}

/// A frame as it crossed the wire: microseconds since the Unix epoch, and its bytes from the Ethernet header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFrame {
    pub micros: i64,
    pub to_server: bool,
    pub data: Vec<u8>,
}

impl TimedFrame {
    /// As a device lends it: port 0 is the client's side.
    pub fn lent(&self, number: u64) -> Frame<'_> {
        Frame {
            ts: Timestamp::from_micros(self.micros.unsigned_abs()),
            number,
            link: LinkType::ETHERNET,
            port: PortId(u16::from(!self.to_server)),
            data: &self.data,
            wire_len: self.data.len() as u32,
        }
    }
}

/// Both ends: the client is outside (`198.51.100.20`), the server at home (`10.77.0.10`, port 80).
pub const CLIENT: [u8; 4] = [198, 51, 100, 20];
pub const SERVER: [u8; 4] = [10, 77, 0, 10];
const STEP_MICROS: i64 = 250;
/// Frames exchanged per dialogue before it counts as stuck.
const STEPS_MAX: usize = 100_000;

struct Port {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let r = f(&mut frame);
        self.0.push_back(frame);
        r
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ethernet;
        c.max_transmission_unit = 1514;
        c
    }

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        Some((Received(self.rx.pop_front()?), Sending(&mut self.tx)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.tx))
    }
}

struct End {
    port: Port,
    iface: Interface,
    sockets: SocketSet<'static>,
    tcp: SocketHandle,
}

impl End {
    fn new(mac: u8, address: [u8; 4], now: Instant) -> Self {
        let mut port = Port { rx: VecDeque::new(), tx: VecDeque::new() };
        let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, mac]).into());
        config.random_seed = u64::from(mac);
        let mut iface = Interface::new(config, &mut port, now);
        let [a, b, c, d] = address;
        // A prefix that holds both ends: no router between them.
        iface.update_ip_addrs(|list| list.push(IpCidr::new(IpAddress::v4(a, b, c, d), 0)).unwrap_or(()));
        let buffer = || tcp::SocketBuffer::new(vec![0; 1 << 16]);
        let mut sockets = SocketSet::new(Vec::new());
        let tcp = sockets.add(tcp::Socket::new(buffer(), buffer()));
        End { port, iface, sockets, tcp }
    }

    fn poll(&mut self, now: Instant) {
        self.iface.poll(now, &mut self.port, &mut self.sockets);
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.tcp)
    }
}

/// Bytes still to be sent, and bytes to be received before the next turn.
struct Turn {
    send: VecDeque<u8>,
    expect: usize,
}

/// Plays `exchanges` over one connection from `client_port`, beginning at `start` (microseconds since the epoch).
/// `lose(n)` says whether the n-th frame is lost after it was recorded.
pub fn play(exchanges: &[Exchange], client_port: u16, start: i64, lose: &dyn Fn(usize) -> bool) -> Vec<TimedFrame> {
    let mut micros = start;
    let now = |m: i64| Instant::from_micros(m);
    let mut client = End::new(1, CLIENT, now(micros));
    let mut server = End::new(2, SERVER, now(micros));
    let mut frames = Vec::new();
    if server.socket().listen(80).is_err() {
        return frames;
    }
    let [a, b, c, d] = SERVER;
    let context = client.iface.context();
    let connected = client.sockets.get_mut::<tcp::Socket<'_>>(client.tcp).connect(
        context,
        (IpAddress::v4(a, b, c, d), 80),
        client_port,
    );
    if connected.is_err() {
        return frames;
    }
    let mut turns = exchanges.iter();
    let mut asking: Option<(Turn, Turn)> = None;
    for _ in 0..STEPS_MAX {
        if asking.is_none() {
            match turns.next() {
                Some(e) => {
                    let out = Turn { send: e.request.iter().copied().collect(), expect: e.response.len() };
                    let back = Turn { send: e.response.iter().copied().collect(), expect: e.request.len() };
                    asking = Some((out, back));
                }
                None => client.socket().close(),
            }
        }
        if let Some((out, back)) = &mut asking {
            drive(client.socket(), out, true);
            let heard = back.expect == 0;
            drive(server.socket(), back, heard);
            if out.expect == 0 && out.send.is_empty() && back.expect == 0 && back.send.is_empty() {
                asking = None;
            }
        }
        if server.socket().state() == tcp::State::CloseWait {
            server.socket().close();
        }
        client.poll(now(micros));
        server.poll(now(micros));
        exchange_frames(&mut client, &mut server, &mut micros, lose, &mut frames);
        let closed = |s: tcp::State| matches!(s, tcp::State::Closed | tcp::State::TimeWait);
        if asking.is_none() && turns.len() == 0 && closed(client.socket().state()) && closed(server.socket().state()) {
            break;
        }
        micros += STEP_MICROS;
    }
    frames
}

/// Sends what a side may send and counts what it received.
fn drive(socket: &mut tcp::Socket<'_>, turn: &mut Turn, may_send: bool) {
    if may_send && socket.can_send() && !turn.send.is_empty() {
        let sent = socket.send_slice(turn.send.make_contiguous()).unwrap_or(0);
        turn.send.drain(..sent);
    }
    while turn.expect > 0 && socket.can_recv() {
        let want = turn.expect;
        let got = socket.recv(|b| (b.len().min(want), b.len().min(want))).unwrap_or(0);
        turn.expect -= got;
        if got == 0 {
            break;
        }
    }
}

fn exchange_frames(
    client: &mut End,
    server: &mut End,
    micros: &mut i64,
    lose: &dyn Fn(usize) -> bool,
    frames: &mut Vec<TimedFrame>,
) {
    for to_server in [true, false] {
        let (from, to) = if to_server { (&mut *client, &mut *server) } else { (&mut *server, &mut *client) };
        while let Some(data) = from.port.tx.pop_front() {
            *micros += 1;
            let lost = lose(frames.len());
            frames.push(TimedFrame { micros: *micros, to_server, data: data.clone() });
            if !lost {
                to.port.rx.push_back(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Vec<Exchange> {
        vec![
            Exchange { request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), response: vec![b'x'; 20_000] },
            Exchange { request: vec![b'y'; 5_000], response: b"done".to_vec() },
        ]
    }

    #[test]
    fn a_dialogue_opens_carries_both_ways_and_closes() {
        let frames = play(&ask(), 40_000, 1_000_000, &|_| false);
        let bytes: usize = frames.iter().map(|f| f.data.len()).sum();
        assert!(bytes > 25_000, "{bytes}");
        assert!(frames.windows(2).all(|w| w[0].micros < w[1].micros));
        assert_eq!(frames, play(&ask(), 40_000, 1_000_000, &|_| false));
    }

    #[test]
    fn a_lost_frame_is_sent_again() {
        let whole = play(&ask(), 40_000, 1_000_000, &|_| false).len();
        assert!(play(&ask(), 40_000, 1_000_000, &|n| n == 8).len() > whole);
    }
}
