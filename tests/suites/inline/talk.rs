//! Conversations over sockets of both namespaces, held by one thread, and what is said of attacks afterwards.

use harness::live::Live;
use harness::netns::{At, Bed};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What a socket that nothing holds up receives within this.
pub const BENIGN: Duration = Duration::from_secs(10);
/// How long a receiver waits for what must not arrive. That the engine stopped it is asked of the log.
pub const STOPPED: Duration = Duration::from_millis(1200);

/// On a machine that keeps the worker waiting, nothing goes by meanwhile; it comes again.
pub const CLOSED: [&str; 2] = ["--fail", "closed"];

/// One side sends, the other receives.
pub enum Turn {
    Up(Vec<u8>),
    /// The same, a byte a segment.
    UpBytes(Vec<u8>),
    Down(Vec<u8>),
}

impl Turn {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Turn::Up(b) | Turn::UpBytes(b) | Turn::Down(b) => b,
        }
    }
}

/// A connection from the client to the server: its ends in this order.
pub fn connect(bed: &Bed, server: Ipv4Addr, port: u16) -> (TcpStream, TcpStream) {
    let listener = bed.inside(At::Server, || TcpListener::bind((server, port))).unwrap();
    let client = bed.inside(At::Client, || TcpStream::connect((server, port))).unwrap();
    let (server, _) = listener.accept().unwrap();
    for s in [&client, &server] {
        s.set_nodelay(true).unwrap();
    }
    (client, server)
}

/// What arrives until there are `most` bytes, the end, or nothing more within `wait`.
pub fn received(from: &mut TcpStream, most: usize, wait: Duration) -> Vec<u8> {
    let end = Instant::now() + wait;
    let mut all = vec![0; most];
    let mut n = 0;
    while n < most {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || from.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match from.read(&mut all[n..]) {
            Ok(got) if got > 0 => n += got,
            _ => break,
        }
    }
    all.truncate(n);
    all
}

/// Takes a turn; what was received of it.
pub fn take(turn: &Turn, (client, server): (&mut TcpStream, &mut TcpStream), wait: Duration) -> Vec<u8> {
    let (from, to) = if matches!(turn, Turn::Down(_)) { (server, client) } else { (client, server) };
    let bytes = turn.bytes();
    std::thread::scope(|s| {
        s.spawn(|| match turn {
            // One that is cut off is seen where it is received.
            Turn::UpBytes(_) => bytes.chunks(1).try_for_each(|b| {
                std::thread::sleep(Duration::from_millis(1));
                from.write_all(b)
            }),
            _ => {
                let _ = from.set_write_timeout(Some(wait));
                from.write_all(bytes)
            }
        });
        received(to, bytes.len(), wait)
    })
}

/// Waits until the log tells of each of these signatures that it stopped something.
pub fn blocked(live: &Live, sids: impl Iterator<Item = usize> + Clone) {
    let end = Instant::now() + BENIGN;
    loop {
        let eve = std::fs::read_to_string(live.dir.join("eve.json")).unwrap_or_default();
        let alerts: Vec<&str> = eve
            .lines()
            .filter(|l| l.contains("\"event_type\":\"alert\"") && l.contains("\"action\":\"blocked\""))
            .collect();
        let told = |sid: &usize| alerts.iter().any(|l| l.contains(&format!("\"signature_id\":{sid},")));
        let missing: Vec<usize> = sids.clone().filter(|sid| !told(sid)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "nothing blocked by {missing:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
