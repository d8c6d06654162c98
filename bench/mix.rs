//! `stopgap-bench mix`: many captures interleaved into one, as a link that carries all of them would show them.
//!
//! Each capture (Ethernet, small) starts at a random point of a window and keeps its own gaps, capped; a further round
//! changes one byte of every IPv4 address, so that its flows are new ones. Seeded: the same input gives the same bytes.
//! Transport checksums do not survive that change: replay the mix without verifying them.

use crate::report::{Row, Table};
use capture::{Outgoing, Receive, Transmit, Writer};
use engine::decode::{LinkType, PortId};
use engine::types::Timestamp;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(120);
const GAP_MAX: Duration = Duration::from_millis(50);
const CAPTURE_BYTES_MAX: u64 = 3_000_000;
const CAPTURE_PACKETS_MIN: usize = 5;
const BEGIN_SECS: u64 = 1_700_000_000;

#[derive(clap::Args)]
pub struct Args {
    /// The capture to write.
    out: PathBuf,
    /// Stop after about so many bytes of packets.
    #[arg(long, default_value_t = 330_000_000)]
    bytes: u64,
    #[arg(long, default_value_t = 4)]
    rounds: u8,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

struct Packet {
    at: Duration,
    data: Vec<u8>,
    wire_len: u32,
}

pub fn run(args: &Args, data: &Path) -> Result<Table, String> {
    let mut paths = Vec::new();
    collect(&data.join("pcaps"), &mut paths)?;
    paths.sort();
    let mut writer = Writer::create(&args.out).map_err(|e| e.to_string())?;
    let mut rng = args.seed.max(1);
    let (mut packets, mut bytes, mut captures) = (0u64, 0u64, 0u64);
    let mut begin = Timestamp::from_secs(BEGIN_SECS);
    for round in 0..args.rounds {
        let mut all: Vec<Packet> = Vec::new();
        for path in &paths {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = WINDOW.mul_f64((rng >> 33) as f64 / f64::from(1u32 << 31));
            let before = all.len();
            read(path, start, round, &mut all);
            captures += u64::from(all.len() > before);
        }
        all.sort_by_key(|p| p.at);
        for p in &all {
            let ts = begin.saturating_add(p.at);
            let frame = Outgoing {
                ts,
                port: PortId(0),
                link: LinkType::ETHERNET,
                data: &p.data,
                wire_len: p.wire_len,
                comment: None,
            };
            writer.send(&frame).map_err(|e| e.to_string())?;
            packets += 1;
            bytes += p.data.len() as u64 + 16;
            if bytes >= args.bytes {
                break;
            }
        }
        begin = begin.saturating_add(all.last().map_or(WINDOW, |p| p.at) + Duration::from_secs(1));
        if bytes >= args.bytes {
            break;
        }
    }
    writer.flush().map_err(|e| e.to_string())?;
    let mut table = Table::new("mix", "counts");
    let mut row = Row::new(args.out.display().to_string());
    row.put("packets", packets as f64);
    row.put("bytes", bytes as f64);
    row.put("captures", captures as f64);
    table.rows.push(row);
    Ok(table)
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "pcap" || e == "cap")
            && entry.metadata().is_ok_and(|m| m.len() < CAPTURE_BYTES_MAX)
        {
            out.push(path);
        }
    }
    Ok(())
}

/// Appends the packets of one capture; one that cannot be read, is short or not all Ethernet adds nothing.
fn read(path: &Path, start: Duration, round: u8, out: &mut Vec<Packet>) {
    let Ok(mut reader) = capture::open(path) else { return };
    let first = out.len();
    let (mut at, mut last) = (start, None);
    loop {
        let mut frames = Vec::new();
        match reader.recv(&mut frames, 1_024) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        for f in frames {
            if f.link != LinkType::ETHERNET {
                out.truncate(first);
                return;
            }
            at += last.map_or(Duration::ZERO, |l| f.ts.since(l)).min(GAP_MAX);
            last = Some(f.ts);
            let mut data = f.data.to_vec();
            remap(&mut data, round);
            out.push(Packet { at, data, wire_len: f.wire_len });
        }
    }
    if out.len() - first < CAPTURE_PACKETS_MIN {
        out.truncate(first);
    }
}

/// Changes the second byte of both IPv4 addresses (but of multicast) and repairs the header's checksum.
fn remap(frame: &mut [u8], round: u8) {
    let mut ip = 12;
    while matches!(frame.get(ip..ip + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        ip += 4;
    }
    if round == 0 || frame.get(ip..ip + 2) != Some(&[8, 0]) {
        return;
    }
    let Some(header) = frame.get_mut(ip + 2..) else { return };
    let length = usize::from(header.first().copied().unwrap_or(0) & 15) * 4;
    let Some(header) = header.get_mut(..length).filter(|h| h.len() >= 20) else { return };
    for at in [12, 16] {
        if header[at] < 224 {
            header[at + 1] ^= round;
        }
    }
    header[10] = 0;
    header[11] = 0;
    let mut sum: u32 = header.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_changes_addresses_and_keeps_the_checksum_right() {
        let mut frame = vec![0u8; 12];
        frame.extend([0x81, 0, 0, 7, 8, 0]);
        frame.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 224, 0, 0, 1]);
        let before = frame.clone();
        remap(&mut frame, 0);
        assert_eq!(frame, before);
        remap(&mut frame, 3);
        let header = &frame[18..];
        assert_eq!(header[12..20], [10, 3, 0, 1, 224, 0, 0, 1]);
        let sum: u32 = header.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        for length in 0..before.len() {
            remap(&mut before[..length].to_vec(), 3);
        }
    }
}
