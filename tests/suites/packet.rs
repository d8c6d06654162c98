//! Packet sockets between two ports: a real client and a real server in namespaces of their own, and a loop over the
//! devices between them that forwards, drops or rewrites.
//!
//! Wants root, for the namespaces; says that it skipped where it has not.

use capture::packet::{Opening, PacketDevice, Spread, open};
use capture::{Live, Traffic};
use engine::decode::{Frame, PortId};
use harness::netns::{At, Bed, PORTS, SERVER};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn bed(test: &str) -> Option<Bed> {
    let bed = Bed::as_made();
    if bed.is_none() {
        harness::skip(test, "network namespaces are refused here");
    }
    bed
}

/// What to do with a frame.
enum Do {
    Forward,
    Drop,
    Replace(Vec<u8>),
    /// Send this through the port first.
    Inject(u16, Vec<u8>),
    HandTo(usize),
}

/// The devices of a bed's middle, one for each worker.
fn devices(bed: &Bed, workers: usize, spread: Spread) -> Vec<PacketDevice> {
    bed.inside(At::Middle, || {
        let ifindex = PORTS.map(|p| capture::ports::Facts::of(p).unwrap().ifindex);
        open(&Opening { ifindex, frame_max: 1522, workers, ring: 512, spread, policy: None }).unwrap()
    })
}

/// Settles frames until told to stop.
fn work(mut d: PacketDevice, stop: &AtomicBool, decide: impl Fn(&Frame<'_>) -> Do) -> Traffic {
    while !stop.load(Ordering::Relaxed) {
        let n = d.receive(64, Duration::from_millis(10)).unwrap();
        let mut frames = Vec::new();
        d.frames(&mut frames);
        assert_eq!(frames.len(), n);
        let decided: Vec<Do> = frames.iter().map(&decide).collect();
        drop(frames);
        for (i, what) in decided.into_iter().enumerate() {
            match what {
                Do::Forward => d.forward(i),
                Do::Drop => d.discard(i),
                Do::Replace(data) => d.replace(i, &data),
                Do::Inject(port, data) => {
                    d.inject(PortId(port), &data);
                    d.forward(i);
                }
                Do::HandTo(worker) => {
                    if !d.hand_over(i, worker) {
                        d.forward(i);
                    }
                }
            }
        }
        d.flush().unwrap();
    }
    d.traffic()
}

/// Runs `act` while one worker settles frames as `decide` says.
fn with_one<T>(bed: &Bed, decide: impl Fn(&Frame<'_>) -> Do + Send, act: impl FnOnce() -> T) -> (T, Traffic) {
    let device = devices(bed, 1, Spread::Hash).remove(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let worker = s.spawn(|| work(device, &stop, decide));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        stop.store(true, Ordering::Relaxed);
        let traffic = worker.join().unwrap();
        (done.unwrap_or_else(|e| std::panic::resume_unwind(e)), traffic)
    })
}

fn pings(bed: &Bed, n: u32) -> u32 {
    let (count, server) = (n.to_string(), SERVER.to_string());
    let out = bed.run(At::Client, "ping", &["-q", "-i", "0.01", "-W", "1", "-c", &count, &server]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let received = text.split(" received").next().and_then(|t| t.rsplit(' ').next()).and_then(|t| t.parse().ok());
    received.unwrap_or_else(|| panic!("ping said: {text}"))
}

/// Sends `bytes` from the client to the server, which sends them back; what the client then has.
fn echoed(bed: &Bed, bytes: &[u8]) -> Vec<u8> {
    let listener = bed.inside(At::Server, || TcpListener::bind((SERVER, 5000)).unwrap());
    std::thread::scope(|s| {
        s.spawn(move || {
            let (mut from, _) = listener.accept().unwrap();
            let mut to = from.try_clone().unwrap();
            std::io::copy(&mut from, &mut to).unwrap();
        });
        bed.inside(At::Client, || {
            let c = TcpStream::connect((SERVER, 5000)).unwrap();
            c.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
            std::thread::scope(|s| {
                s.spawn(|| {
                    (&c).write_all(bytes).unwrap();
                    c.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                (&c).read_to_end(&mut got).unwrap();
                got
            })
        })
    })
}

fn bytes(n: u32) -> Vec<u8> {
    (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// tcpdump at an end: it puts tags back by itself, and shows frames in hexadecimal.
struct Watch {
    child: Child,
}

impl Watch {
    fn start(bed: &Bed, at: At, end: &str, filter: &str) -> Watch {
        let mut c = bed.command(at, "tcpdump");
        c.args(["-i", end, "-Q", "in", "-nn", "-xx", "-t", "-U", "-l", filter]);
        let mut child = c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It says that it listens.
        let (mut said, mut byte) = (Vec::new(), [0]);
        let err = child.stderr.as_mut().unwrap();
        while !said.ends_with(b"listening on") && err.read(&mut byte).unwrap() == 1 {
            said.push(byte[0]);
        }
        Watch { child }
    }

    /// The frames it saw.
    fn frames(mut self) -> Vec<Vec<u8>> {
        std::thread::sleep(Duration::from_millis(200));
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let _ = self.child.wait();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for line in text.lines().filter(|l| !l.is_empty()) {
            match line.trim().strip_prefix("0x").and_then(|l| l.split_once(':')) {
                None => frames.push(Vec::new()),
                Some((_, hex)) => {
                    let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
                    let byte = |h: &[u8]| u8::from_str_radix(std::str::from_utf8(h).unwrap(), 16).unwrap();
                    frames.last_mut().unwrap().extend(hex.chunks_exact(2).map(byte));
                }
            }
        }
        frames
    }
}

/// Sends frames as they are from an end.
fn send_raw(bed: &Bed, at: At, end: &str, frames: &[Vec<u8>]) {
    let hex: Vec<String> = frames.iter().map(|f| f.iter().map(|b| format!("{b:02x}")).collect()).collect();
    let script = format!(
        "import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(('{end}',0))\n\
         [s.send(bytes.fromhex(f)) for f in '{}'.split()]",
        hex.join(" ")
    );
    let out = bed.run(at, "python3", &["-c", &script]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

const SOURCE: [u8; 6] = [2, 0, 0, 0, 9, 9];

/// A frame to everybody with these tags and this EtherType.
fn frame(tags: &[(u16, u16)], kind: u16, payload: usize) -> Vec<u8> {
    let mut f = [&[0xff; 6][..], &SOURCE].concat();
    for (id, contents) in tags {
        f.extend(id.to_be_bytes());
        f.extend(contents.to_be_bytes());
    }
    f.extend(kind.to_be_bytes());
    f.extend(bytes(payload as u32));
    f
}

const OURS: &str = "ether src 02:00:00:00:09:09";

#[test]
fn pings_and_transfers_pass_as_they_were() {
    let Some(bed) = bed("pings_and_transfers_pass_as_they_were") else { return };
    let sent = bytes(3_000_000);
    let longest = std::sync::atomic::AtomicUsize::new(0);
    let decide = |f: &Frame<'_>| {
        longest.fetch_max(f.data.len(), Ordering::Relaxed);
        // Checksums are right when the engine looks at them.
        let tcp = f.data.len() > 54 && f.data[12..14] == [8, 0] && f.data[23] == 6;
        if tcp {
            let total = u16::from_be_bytes([f.data[16], f.data[17]]);
            let pseudo = accel::add16(accel::sum16(&f.data[26..34]), 6 + total - 20);
            let end = 14 + usize::from(total);
            assert_eq!(accel::add16(pseudo, accel::sum16(&f.data[34..end])), 0xffff);
        }
        Do::Forward
    };
    let (got, t) = with_one(&bed, decide, || {
        assert_eq!(pings(&bed, 50), 50);
        echoed(&bed, &sent)
    });
    assert!(got == sent, "{} bytes came back of {}", got.len(), sent.len());
    assert!(longest.into_inner() > 20_000, "neighbours leave segments to be cut");
    assert_eq!((t.received, t.unsent, t.lost), (t.forwarded, 0, 0), "{t:?}");
}

#[test]
fn tags_stay_on_and_strange_frames_pass() {
    let Some(bed) = bed("tags_stay_on_and_strange_frames_pass") else { return };
    let sent = [
        frame(&[(0x8100, 5)], 0x88b5, 60),
        frame(&[(0x88a8, 0x6007)], 0x88b5, 61),
        frame(&[(0x88a8, 7), (0x8100, 0x2009)], 0x88b5, 62),
        frame(&[(0x8100, 1), (0x8100, 2), (0x8100, 3)], 0x88b5, 63),
        frame(&[], 0x88cc, 64),
        frame(&[(0x8100, 5)], 0x88b5, 1500),
        frame(&[], 60, 60),
    ];
    let seen = std::sync::Mutex::new(Vec::new());
    let decide = |f: &Frame<'_>| {
        if f.data[6..12] == SOURCE {
            seen.lock().unwrap().push((f.port, f.data.to_vec()));
        }
        Do::Forward
    };
    let ((), t) = with_one(&bed, decide, || {
        for (from, to) in [((At::Client, "end0"), (At::Server, "end1")), ((At::Server, "end1"), (At::Client, "end0"))] {
            let watch = Watch::start(&bed, to.0, to.1, OURS);
            send_raw(&bed, from.0, from.1, &sent);
            let got = watch.frames();
            assert_eq!(got.len(), sent.len());
            for (got, sent) in got.iter().zip(&sent) {
                assert!(got == sent, "sent {:02x?}, got {:02x?}", &sent[..26], &got[..26]);
            }
        }
    });
    let seen = seen.into_inner().unwrap();
    let both: Vec<_> = [0, 1].into_iter().flat_map(|p| sent.iter().map(move |f| (PortId(p), f.clone()))).collect();
    assert!(seen == both, "what is inspected is what was on the wire, once each");
    assert_eq!(t.unsent, 0);
}

#[test]
fn what_is_dropped_rewritten_or_made_is_what_arrives() {
    let Some(bed) = bed("what_is_dropped_rewritten_or_made_is_what_arrives") else { return };
    let sent: Vec<Vec<u8>> = (0..4).map(|i| frame(&[(0x8100, 5)], 0x88b5, 60 + i)).collect();
    let made = frame(&[], 0x88b6, 80);
    let back = frame(&[], 0x88b6, 81);
    let long = frame(&[], 0x88b6, 1400);
    let decide = |f: &Frame<'_>| match f.data.len() - 18 {
        _ if f.data[6..12] != SOURCE => Do::Forward,
        60 => Do::Drop,
        61 => Do::Replace(long.clone()),
        62 => Do::Inject(1, made.clone()),
        _ => Do::Inject(0, back.clone()),
    };
    let ((), t) = with_one(&bed, decide, || {
        let watch = [Watch::start(&bed, At::Server, "end1", OURS), Watch::start(&bed, At::Client, "end0", OURS)];
        send_raw(&bed, At::Client, "end0", &sent);
        let [there, here] = watch.map(Watch::frames);
        assert!(there == [long.clone(), made.clone(), sent[2].clone(), sent[3].clone()], "{there:02x?}");
        assert!(here == [back.clone()], "{here:02x?}");
    });
    assert_eq!((t.discarded, t.injected, t.unsent), (1, 2, 0));
    assert_eq!(t.received, t.forwarded + t.discarded, "nothing of ours comes back: {t:?}");
}

#[test]
fn joined_frames_can_be_rewritten_and_too_long_ones_are_counted() {
    let Some(bed) = bed("joined_frames_can_be_rewritten_and_too_long_ones_are_counted") else { return };
    let sent = vec![b'a'; 400_000];
    // The last byte of each segment is made another, the checksum with it.
    let decide = |f: &Frame<'_>| {
        if f.port.0 != 0 || f.data.len() < 70 || f.data[12..14] != [8, 0] || f.data[23] != 6 {
            return Do::Forward;
        }
        let mut data = f.data.to_vec();
        *data.last_mut().unwrap() = b'b';
        data[50..52].fill(0);
        let pseudo = accel::add16(accel::sum16(&data[26..34]), 6 + (data.len() - 34) as u16);
        let sum = !accel::add16(pseudo, accel::sum16(&data[34..]));
        data[50..52].copy_from_slice(&sum.to_be_bytes());
        Do::Replace(data)
    };
    let (got, t) = with_one(&bed, decide, || echoed(&bed, &sent));
    let changed = got.iter().filter(|b| **b == b'b').count();
    assert!(got.len() == sent.len() && (6..300).contains(&changed), "{} bytes, {changed} changed", got.len());
    assert_eq!(t.unsent, 0);
    // One of more bytes than the MTU, that nobody says how to cut.
    let longer = |f: &Frame<'_>| if f.data[6..12] == SOURCE { Do::Replace(vec![1; 1600]) } else { Do::Forward };
    let ((), t) = with_one(&bed, longer, || {
        send_raw(&bed, At::Client, "end0", &[frame(&[], 0x88b5, 60)]);
        std::thread::sleep(Duration::from_millis(100));
    });
    assert_eq!(t.unsent, 1);
}

#[test]
fn workers_share_a_port_and_hand_frames_over() {
    let Some(bed) = bed("workers_share_a_port_and_hand_frames_over") else { return };
    for spread in [Spread::Hash, Spread::Queue] {
        let devices = devices(&bed, 3, spread);
        let stop = AtomicBool::new(false);
        let sent = bytes(2_000_000);
        std::thread::scope(|s| {
            let stop = &stop;
            let workers: Vec<_> = devices
                .into_iter()
                .enumerate()
                .map(|(n, d)| {
                    // Every third frame goes to the next worker; one that was handed over is forwarded there.
                    let count = std::sync::atomic::AtomicUsize::new(n);
                    let decide = move |_: &Frame<'_>| match count.fetch_add(1, Ordering::Relaxed) % 3 {
                        0 => Do::HandTo((n + 1) % 3),
                        _ => Do::Forward,
                    };
                    s.spawn(move || work(d, stop, decide))
                })
                .collect();
            let answered = pings(&bed, 30);
            let got = echoed(&bed, &sent);
            stop.store(true, Ordering::Relaxed);
            let all: Vec<Traffic> = workers.into_iter().map(|w| w.join().unwrap()).collect();
            assert_eq!(answered, 30);
            assert!(got == sent, "{} of {} bytes: {all:?}", got.len(), sent.len());
            let of = |f: fn(&Traffic) -> u64| all.iter().map(f).sum::<u64>();
            assert!(of(|t| t.handed) > 10 && of(|t| t.unsent) == 0, "{all:?}");
            // What was handed over in the last moment may still lie there.
            assert!(of(|t| t.received).abs_diff(of(|t| t.forwarded)) <= of(|t| t.handed) - of(|t| t.taken), "{all:?}");
            if spread == Spread::Queue {
                assert_eq!(all.iter().filter(|t| t.received > 0).count(), 1, "there is one queue: {all:?}");
            }
        });
    }
}

#[test]
fn what_finds_no_slot_is_counted_and_old_frames_are_thrown_away() {
    let Some(bed) = bed("what_finds_no_slot_is_counted_and_old_frames_are_thrown_away") else { return };
    let mut d = devices(&bed, 1, Spread::Hash).remove(0);
    let flood: Vec<Vec<u8>> = (0..600).map(|i| frame(&[], 0x88b5, 60 + i % 9)).collect();
    send_raw(&bed, At::Client, "end0", &flood);
    d.throw_away();
    let t = d.traffic();
    assert!(t.stale == t.received && t.received >= 512 && t.lost > 0, "{t:?}");
    assert!(t.received + t.lost >= 600, "{t:?}");
    // It goes on, and a port that goes down and up again is taken up.
    bed.run(At::Middle, "ip", &["link", "set", PORTS[1], "down"]);
    assert!(d.receive(8, Duration::from_millis(1)).is_ok());
    bed.run(At::Middle, "ip", &["link", "set", PORTS[1], "up"]);
    let since = Instant::now();
    let found = loop {
        send_raw(&bed, At::Server, "end1", &flood[..1]);
        let n = d.receive(64, Duration::from_millis(50)).unwrap();
        let mut frames = Vec::new();
        d.frames(&mut frames);
        if frames.iter().any(|f| f.port == PortId(1) && f.data == flood[0]) {
            break n;
        }
        assert!(since.elapsed() < Duration::from_secs(3), "nothing came");
    };
    assert!(found > 0);
    // One that is gone ends the device.
    bed.run(At::Middle, "ip", &["link", "del", PORTS[0]]);
    let ended = (0..20).find_map(|_| d.receive(8, Duration::from_millis(20)).err());
    assert!(ended.is_some_and(|e| e.to_string().contains("port 0")));
}
