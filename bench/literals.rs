//! `stopgap-bench matchers`: every engine on sets of real literals, by size of the set and length of the haystack.
//!
//! The literals are the contents of the rules under `STOPGAP_DATA` (one per rule, its longest), the haystacks pieces
//! of its captures, so that near misses are as frequent as in traffic. This is what the factory's rule for choosing an
//! engine rests on.

use crate::report::{Row, Table};
use engine::detect::matching::Pattern;
use matcher::{Engine, compile_with};
use std::path::Path;
use std::time::{Duration, Instant};

const SIZES: &[usize] = &[1, 2, 4, 8, 16, 32, 64, 128, 300, 1_000, 3_000, 10_000];
const LENGTHS: &[usize] = &[20, 60, 300, 1_460];
const EACH: Duration = Duration::from_millis(60);

pub fn run(data: &Path) -> Result<Table, String> {
    let literals = rule_literals(&data.join("rules/etopen-2024-04"))?;
    let bytes = capture_bytes(data, 4 << 20)?;
    let mut table = Table::new("matchers", "ns per scan; compile in us; memory in KiB");
    for &size in SIZES.iter().filter(|&&s| s <= literals.len()) {
        let step = literals.len() / size;
        let set: Vec<Pattern> = literals.iter().step_by(step.max(1)).take(size).cloned().collect();
        for &engine in Engine::ALL {
            let start = Instant::now();
            let Some(compiled) = compile_with(engine, &set).map_err(|e| e.0)? else { continue };
            let compile = start.elapsed();
            let mut row = Row::new(format!("{engine:?} {size}"));
            row.put("compile", compile.as_micros() as f64);
            row.put("memory", compiled.memory() as f64 / 1024.0);
            let mut scratch = matcher::factory().scratch().map_err(|e| e.0)?;
            for &length in LENGTHS {
                let mut hits = 0u64;
                let mut scans = 0u64;
                let mut pieces = bytes.chunks_exact(length).cycle();
                let start = Instant::now();
                while start.elapsed() < EACH {
                    for piece in pieces.by_ref().take(64) {
                        compiled.scan(&mut scratch, piece, &mut |_, _| hits += 1);
                    }
                    scans += 64;
                }
                row.put(&format!("{length}B"), start.elapsed().as_nanos() as f64 / scans as f64);
                std::hint::black_box(hits);
            }
            table.rows.push(row);
        }
    }
    Ok(table)
}

/// The longest content of each rule that is not commented out.
fn rule_literals(folder: &Path) -> Result<Vec<Pattern>, String> {
    let mut out = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "rules")) {
        let text = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        for line in text.split(|&b| b == b'\n').filter(|l| l.starts_with(b"alert")) {
            let line = String::from_utf8_lossy(line);
            let contents = line.split("content:\"").skip(1).filter_map(literal);
            if let Some((bytes, nocase)) = contents.max_by_key(|c| c.0.len()) {
                out.push(Pattern { bytes, nocase, id: out.len() as u32 });
            }
        }
    }
    Ok(out)
}

/// Bytes of a content up to its closing quote, and whether `nocase` comes before the next content.
fn literal(text: &str) -> Option<(Vec<u8>, bool)> {
    let end = text.find("\";")?;
    let mut out = Vec::new();
    for (i, part) in text.get(..end)?.split('|').enumerate() {
        if i % 2 == 0 {
            out.extend(part.bytes().filter(|&b| b != b'\\'));
        } else {
            for hex in part.split_ascii_whitespace() {
                out.push(u8::from_str_radix(hex, 16).ok()?);
            }
        }
    }
    out.truncate(32);
    (!out.is_empty()).then(|| (out, text.get(end..).is_some_and(|t| t.contains("nocase"))))
}

fn capture_bytes(data: &Path, wanted: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut folders = vec![data.join("pcaps")];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder)
            .map_err(|e| format!("{}: {e}", folder.display()))?
            .flatten()
            .map(|e| e.path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if out.len() < wanted && path.extension().is_some_and(|e| e == "pcap") {
                let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                out.extend_from_slice(bytes.get(..bytes.len().min(200_000)).unwrap_or(&[]));
            }
        }
    }
    if out.len() < 1 << 16 { Err("no captures under the data folder".into()) } else { Ok(out) }
}
