//! Clients and servers that talk to each other over what stands between them: probes of latency, and HTTP.

use super::frames::Frames;
use super::scenes::{Cx, Ending, Found, tool};
use super::wire::{Sent, Wire};
use harness::netns::{At, SERVER};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const P50: &str = "p50 us";
pub const P99: &str = "p99 us";
pub const LOST: &str = "lost %";
pub const REQUESTS: &str = "requests/s";
pub const ANSWERED: &str = "answered %";
pub const FLOOD: &str = "flood/s";

const PROBE_PORT: u16 = 7007;
const PROBE_EVERY: Duration = Duration::from_millis(1);
/// A probe that takes longer is lost.
const PROBE_WAIT: Duration = Duration::from_millis(200);
/// SYNs a second of the flood, and for how long frames are made: the rest are the same again.
const FLOOD_RATE: f64 = 80_000.0;
const FLOOD_FRAMES: u32 = 40_000;

/// Datagrams there and back, a thousand a second, while the mix goes by at its rate.
pub fn latency(cx: &mut Cx<'_>) -> Found {
    let (bed, rate, seconds) = (cx.bed, cx.args.rate, cx.args.seconds);
    let wire = Wire::new(bed)?;
    let Some(frames) = cx.frames.as_deref_mut() else { return Err("no --mix".into()) };
    let failed = |e: std::io::Error| format!("probes: {e}");
    let at_server = bed.inside(At::Server, || UdpSocket::bind((SERVER, PROBE_PORT))).map_err(failed)?;
    let at_client = bed.inside(At::Client, || UdpSocket::bind(("0.0.0.0", 0))).map_err(failed)?;
    at_client.connect((SERVER, PROBE_PORT)).map_err(failed)?;
    for socket in [&at_server, &at_client] {
        socket.set_read_timeout(Some(PROBE_WAIT)).map_err(failed)?;
    }
    let stop = AtomicBool::new(false);
    let times = std::thread::scope(|s| {
        s.spawn(|| echo(&at_server, &stop));
        let load = s.spawn(|| -> Result<(), String> {
            while !stop.load(Ordering::Relaxed) {
                frames.renew();
                wire.put(frames, Some(rate), &stop);
            }
            Ok(())
        });
        // What was to be learned of both ends is by then.
        std::thread::sleep(Duration::from_millis(500));
        let times = probe(&at_client, Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        load.join().map_err(|_| "the sender panicked".to_string())?.map(|()| times)
    })?;
    let (sent, mut came) = times;
    came.sort_unstable();
    let at = |share: f64| came.get((came.len() as f64 * share) as usize).map(|d| d.as_secs_f64() * 1e6);
    let (Some(p50), Some(p99)) = (at(0.5), at(0.99)) else { return Err("no probe came back".into()) };
    Ok(vec![(P50, p50), (P99, p99), (LOST, 100.0 * (1.0 - came.len() as f64 / sent as f64))])
}

fn echo(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0u8; 64];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..n], from);
        }
    }
}

/// How many were sent, and how long each took that came back.
fn probe(socket: &UdpSocket, during: Duration) -> (usize, Vec<Duration>) {
    let (begin, mut sent, mut came) = (Instant::now(), 0u64, Vec::new());
    while begin.elapsed() < during {
        sent += 1;
        let since = Instant::now();
        if socket.send(&sent.to_be_bytes()).is_ok() {
            let mut buffer = [0u8; 64];
            // What came late of one before is not this one's.
            while let Ok(n) = socket.recv(&mut buffer) {
                if buffer.get(..n) == Some(&sent.to_be_bytes()[..]) {
                    came.push(since.elapsed());
                    break;
                }
            }
        }
        std::thread::sleep(PROBE_EVERY.saturating_sub(since.elapsed()));
    }
    (sent as usize, came)
}

/// Requests of 1 KB, each on a connection of its own.
pub fn connections(cx: &mut Cx<'_>) -> Found {
    let _web = web(cx)?;
    asked(cx, "1k", true)
}

/// Requests on connections that stay.
pub fn http(cx: &mut Cx<'_>, size: &str) -> Found {
    let _web = web(cx)?;
    asked(cx, size, false)
}

/// Requests, each on a connection of its own, while SYNs from ever new hosts go by to a host beside the server.
pub fn flood(cx: &mut Cx<'_>) -> Found {
    let _web = web(cx)?;
    let (syns, wire, stop) = (Frames::of_syns(FLOOD_FRAMES), Wire::new(cx.bed)?, AtomicBool::new(false));
    let mut syns = syns;
    std::thread::scope(|s| {
        let load = s.spawn(|| {
            let (since, mut frames) = (Instant::now(), 0);
            while !stop.load(Ordering::Relaxed) {
                syns.renew();
                frames += wire.put(&syns, Some(FLOOD_RATE), &stop);
            }
            Sent { frames, arrived: 0, seconds: since.elapsed().as_secs_f64() }
        });
        std::thread::sleep(Duration::from_millis(300));
        let found = asked(cx, "1k", true);
        stop.store(true, Ordering::Relaxed);
        let sent = load.join().map_err(|_| "the sender panicked".to_string())?;
        found.map(|mut f| {
            f.push((FLOOD, sent.rate()));
            f
        })
    })
}

/// nginx at the server's end, one process, with files of the three sizes.
fn web(cx: &Cx<'_>) -> Result<Ending, String> {
    tool("nginx")?;
    tool("wrk")?;
    let dir = cx.bed.dir();
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    for (name, bytes) in [("1k", 1 << 10), ("16k", 16 << 10), ("64k", 64 << 10)] {
        std::fs::write(dir.join(name), vec![b'a'; bytes]).map_err(failed)?;
    }
    let file = dir.join("nginx.conf");
    std::fs::write(&file, web_configuration(dir)).map_err(failed)?;
    // Every port but the lowest serves a client that opens thousands a second.
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let _ = cx.bed.inside(At::Client, || std::fs::write(range, "1100 65000"));
    let server = Ending(cx.bed.spawn(At::Server, "nginx", &["-c", &file.to_string_lossy()]));
    for _ in 0..100 {
        if cx.bed.inside(At::Server, || std::net::TcpStream::connect((SERVER, 80))).is_ok() {
            return Ok(server);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("nginx does not answer".into())
}

fn web_configuration(dir: &Path) -> String {
    let d = dir.display();
    format!(
        "daemon off; master_process off; user root; pid {d}/nginx.pid; error_log {d}/nginx.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off; sendfile on; keepalive_requests 100000000;\n  \
         client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; \
         scgi_temp_path {d}/s;\n  server {{ listen 80 backlog=4096; root {d}; }}\n}}\n"
    )
}

/// What wrk says of 16 clients that ask for a file again and again.
fn asked(cx: &Cx<'_>, file: &str, anew: bool) -> Found {
    let (seconds, url) = (format!("{}s", cx.args.seconds), format!("http://{SERVER}/{file}"));
    let mut c: Command = cx.bed.command(At::Client, "timeout");
    c.args(["60", "wrk", "-t", "1", "-c", "16", "--timeout", "1s", "-d", &seconds]);
    if anew {
        c.args(["-H", "Connection: close"]);
    }
    let out = c.arg(&url).output().map_err(|e| format!("wrk: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after = |word: &str| text.split(word).nth(1).and_then(|t| t.split_whitespace().next());
    let number = |word: &str| after(word).and_then(|t| t.trim_end_matches(',').parse::<f64>().ok());
    let Some(rate) = number("Requests/sec:") else { return Err(format!("wrk said: {text}")) };
    let done = text.split(" requests in").next().and_then(|t| t.split_whitespace().last()?.parse::<f64>().ok());
    // A close behind the answer is no failure, though wrk counts some as one of reading.
    let failed: f64 = ["connect ", "write ", "timeout "].iter().filter_map(|w| number(w)).sum();
    let done = done.unwrap_or(0.0);
    Ok(vec![(REQUESTS, rate), (ANSWERED, 100.0 * done / (done + failed).max(1.0))])
}
