//! What a run writes: the log, of a replay also the frames that leave; and what it counts while writing.

use crate::console::{Failure, warning};
use crate::workers::Tally;
use capture::{Outgoing, Transmit, Writer};
use control::config::outputs::{self, EveLog, TextLog};
use control::config::{Config, FileStore as StoreConfig};
use control::export::{EveFile, FileStore, Origin, Style, fast_line, stats_table};
use engine::decode::{Frame, PortId};
use engine::record::{self, Head, Kind, Record, Records, RulesRead};
use engine::types::{Counter, FieldSink, Verdict};
use engine::worker::{FrameVerdict, Injected};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// One worker's share of a round.
pub struct Part<'a> {
    pub frames: &'a [Frame<'a>],
    pub verdicts: &'a [FrameVerdict],
    /// In the order of `after`.
    pub injected: &'a [Injected],
    pub records: &'a [u8],
}

pub struct Outputs {
    eve: Vec<(EveLog, EveFile)>,
    fast: Option<TextFile>,
    table: Option<TextFile>,
    store: Option<FileStore>,
    writer: Option<Writer>,
    source: Source,
    /// By sid: how many, and the rule's message.
    pub alerts: BTreeMap<u64, (u64, String)>,
    /// By reason.
    pub drops: BTreeMap<&'static str, u64>,
}

/// Where packets come from.
enum Source {
    /// A capture as the caller named it; numbers of its packets begin after `base`.
    Capture { name: String, base: u64 },
    /// Ports by their number. Packets have no numbers there.
    Wire(Vec<String>),
}

impl Source {
    fn origin(&self, head: &Head<'_>) -> Option<Origin<'_>> {
        match self {
            Source::Capture { name, .. } => Some(Origin::Capture(name)),
            Source::Wire(ports) => ports.get(head.input as usize).map(|p| Origin::Interface(p)),
        }
    }
}

impl Outputs {
    /// The logs of a live run on these ports, each going on where an earlier run left it.
    pub fn live(log_dir: Option<&Path>, config: &Config, ports: Vec<String>) -> Result<Self, Failure> {
        Ok(Outputs { source: Source::Wire(ports), ..Self::create(log_dir, None, config, true)? })
    }

    /// Creates what was asked for; the directory too. Without one there are no logs.
    pub fn open(log_dir: Option<&Path>, write: Option<&Path>, config: &Config) -> Result<Self, Failure> {
        Self::create(log_dir, write, config, false)
    }

    fn create(log_dir: Option<&Path>, write: Option<&Path>, config: &Config, append: bool) -> Result<Self, Failure> {
        let logs = &config.outputs;
        let (all, _) = outputs::union(&logs.eve);
        let mut eve = Vec::new();
        let (mut fast, mut table) = (None, None);
        if let Some(dir) = log_dir {
            std::fs::create_dir_all(dir)
                .map_err(|e| Failure(format!("{}: cannot make the directory: {e}", dir.display())))?;
            for log in &logs.eve {
                let style = Style {
                    prefix: log.prefix.clone(),
                    sensor_name: log.sensor_name.clone(),
                    version: log.version.then(|| concat!("stopgap ", env!("CARGO_PKG_VERSION")).to_string()),
                    hidden: log.hidden(&all),
                };
                eve.push((log.clone(), EveFile::create(&dir.join(&log.file), style, append)?));
            }
            fast = logs.fast.as_ref().map(|log| TextFile::open(dir, log, append)).transpose()?;
            table = logs.stats.as_ref().map(|log| TextFile::open(dir, log, append)).transpose()?;
        }
        Ok(Outputs {
            eve,
            fast,
            table,
            writer: write.map(Writer::create).transpose()?,
            store: config.file_store.as_ref().map(|s| keep_files(s, log_dir)).transpose()?,
            source: Source::Capture { name: String::new(), base: 0 },
            alerts: BTreeMap::new(),
            drops: BTreeMap::new(),
        })
    }

    pub fn begin_input(&mut self, path: &Path, base: u64) {
        self.source = Source::Capture { name: path.display().to_string(), base };
    }

    /// Writes a round, in the order of packets whoever processed them.
    pub fn round(&mut self, parts: &[Part<'_>]) -> Result<(), Failure> {
        let mut order: Vec<(u64, usize, usize)> = parts
            .iter()
            .enumerate()
            .flat_map(|(p, part)| part.frames.iter().enumerate().map(move |(i, f)| (f.number, p, i)))
            .collect();
        order.sort_unstable();
        for (_, p, i) in order {
            if let Some(part) = parts.get(p) {
                self.frame(part, i)?;
            }
        }
        let mut records: Vec<Record<'_>> = parts.iter().flat_map(|p| Record::all(p.records)).collect();
        records.sort_by_key(|r| (r.head.order, r.head.sequence));
        records.iter().try_for_each(|r| self.record(r))
    }

    /// Writes records as they come.
    pub fn records(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Record::all(bytes).try_for_each(|r| self.record(&r))
    }

    /// Writes what flows left at their end, in the order of their time.
    pub fn endings(&mut self, records: &[Vec<u8>]) -> Result<(), Failure> {
        let mut all: Vec<Record<'_>> = records.iter().flat_map(|r| Record::all(r)).collect();
        all.sort_by_key(|r| (r.head.ts, r.head.flow_id, r.head.sequence));
        all.iter().try_for_each(|r| self.record(r))
    }

    /// A `stats` record. `capture`: what came of frames before the engine had them and after, by path.
    pub fn stats(&mut self, tally: &Tally, rules: &RulesRead, capture: Vec<(String, u64)>) -> Result<(), Failure> {
        let head = Head { number: None, ..Head::new(Kind::Stats, tally.now, 0) };
        let uptime = tally.now.since(tally.first).as_secs();
        let mut more = capture;
        more.extend(engine::decode::Decoder::event_rows(&tally.decode_events));
        more.extend(engine::stream::events::event_rows(&tally.stream_events));
        more.extend(tally.protocols.rows(&engine::proto::registry::vocabulary()));
        more.extend(tally.policies.stats(&tally.exceptions));
        let mut counters = tally.counters.clone();
        counters.add(Counter::FileStoreErrors, self.store.as_ref().map_or(0, FileStore::errors));
        let records = |null_values| {
            let mut records = Records::new(1 << 16);
            records.write(&head, |sink| record::stats(sink, &counters, &more, rules, uptime, null_values));
            records
        };
        let (all, counted) = (records(true), records(false));
        if let (Some(table), Some(Ok(text))) = (&mut self.table, all.iter().find_map(|r| stats_table(&r))) {
            table.write(&text)?;
        }
        for (log, file) in &mut self.eve {
            let Some(stats) = &log.settings.stats else { continue };
            let shown = if stats.null_values { &all } else { &counted };
            for r in shown.iter() {
                let capture = matches!(self.source, Source::Capture { .. }) && log.pcap_file;
                file.write(&r, self.source.origin(&r.head).filter(|_| capture))?;
            }
        }
        Ok(())
    }

    /// Everything is on disk.
    pub fn finish(&mut self) -> Result<(), Failure> {
        // One that cannot be written keeps no other from it.
        let mut done = Ok(());
        for (_, eve) in &mut self.eve {
            done = done.and(eve.flush().map_err(Failure::from));
        }
        for text in [&mut self.fast, &mut self.table].into_iter().flatten() {
            done = done.and(text.flush());
        }
        if let Some(writer) = &mut self.writer {
            done = done.and(writer.flush().map_err(Failure::from));
        }
        done
    }

    /// Bytes of logs that are on disk by now.
    pub fn bytes(&self) -> u64 {
        let texts = [&self.fast, &self.table].into_iter().flatten();
        self.eve.iter().map(|(_, file)| file.bytes()).chain(texts.map(|t| t.bytes)).sum()
    }

    /// Records that could not be written as lines.
    pub fn lost(&self) -> u64 {
        self.eve.iter().map(|(_, file)| file.malformed()).sum()
    }

    fn frame(&mut self, part: &Part<'_>, i: usize) -> Result<(), Failure> {
        let (Some(frame), Some(v)) = (part.frames.get(i), part.verdicts.get(i)) else { return Ok(()) };
        if let Some(reason) = v.verdict.reason() {
            *self.drops.entry(reason.name()).or_default() += 1;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut send = |port: PortId, data: &[u8], wire_len: u32, comment: Option<&str>| {
            writer.send(&Outgoing { ts: frame.ts, port, link: frame.link, data, wire_len, comment })
        };
        if v.verdict == Verdict::Forward {
            let out = PortId(frame.port.0 ^ 1);
            match &v.rewritten {
                None => send(out, frame.data, frame.wire_len, None)?,
                Some(data) => send(out, data, frame.wire_len, Some(&comment(v.sid, "rewritten")))?,
            }
        }
        let first = part.injected.partition_point(|x| (x.after as usize) < i);
        for x in part.injected.iter().skip(first).take_while(|x| x.after as usize == i) {
            send(x.port, &x.data, x.data.len() as u32, Some(&comment(x.sid, "injected")))?;
        }
        Ok(())
    }

    fn record(&mut self, r: &Record<'_>) -> Result<(), Failure> {
        if r.head.kind == Kind::Alert {
            let mut seen = AlertSeen::default();
            let _ = r.walk(&mut seen);
            let entry = self.alerts.entry(seen.sid).or_insert_with(|| (0, seen.msg));
            entry.0 += 1;
        }
        if let Some(store) = &mut self.store {
            store.take(r, self.source.origin(&r.head));
            if let Some(e) = store.take_error() {
                warning(&e);
            }
        }
        if r.head.kind == Kind::FileData {
            return Ok(());
        }
        if let (Some(fast), Some(Ok(line))) = (&mut self.fast, fast_line(r)) {
            fast.write(&line)?;
        }
        if let (Some(table), Some(Ok(text))) = (&mut self.table, stats_table(r)) {
            table.write(&text)?;
        }
        if self.eve.is_empty() {
            return Ok(());
        }
        let (base, wire) = match &self.source {
            Source::Capture { base, .. } => (*base, false),
            Source::Wire(_) => (0, true),
        };
        let mut renumbered = r.renumbered(base);
        if wire {
            renumbered.head.number = None;
        }
        for (log, file) in self.eve.iter_mut().filter(|(log, _)| log.has(r.head.kind, r.head.event_type())) {
            let origin = self.source.origin(&r.head).filter(|_| wire || log.pcap_file);
            file.write(&renumbered, origin)?;
        }
        Ok(())
    }
}

/// Where files are kept: below the log directory unless told.
fn keep_files(store: &StoreConfig, log_dir: Option<&Path>) -> Result<FileStore, Failure> {
    let dir = log_dir.map_or_else(|| store.dir.clone(), |d| d.join(&store.dir));
    FileStore::create(&dir, store.fileinfo)
        .map_err(|e| Failure(format!("{}: cannot make the directory: {e}", dir.display())))
}

/// A log in plain text.
struct TextFile {
    path: PathBuf,
    file: BufWriter<File>,
    /// Of what was written: on its way, and in the file.
    waiting: u64,
    bytes: u64,
}

impl TextFile {
    fn open(dir: &Path, log: &TextLog, append: bool) -> Result<Self, Failure> {
        let append = append || log.append;
        let path = dir.join(&log.file);
        let file = File::options().create(true).write(true).append(append).truncate(!append).open(&path);
        let file = file.map_err(|e| Failure(format!("{}: cannot write: {e}", path.display())))?;
        Ok(TextFile { path, file: BufWriter::new(file), waiting: 0, bytes: 0 })
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let failed = |e| Failure(format!("{}: cannot write: {e}", self.path.display()));
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        self.waiting += text.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|e| Failure(format!("{}: cannot write: {e}", self.path.display())))?;
        self.bytes += std::mem::take(&mut self.waiting);
        Ok(())
    }
}

fn comment(sid: Option<u32>, what: &str) -> String {
    sid.map_or_else(|| what.to_string(), |sid| format!("sid {sid}: {what}"))
}

/// Picks the signature out of an alert's fields.
#[derive(Default)]
struct AlertSeen {
    sid: u64,
    msg: String,
}

impl FieldSink for AlertSeen {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        if key == "signature" && self.msg.is_empty() {
            self.msg = String::from_utf8_lossy(value).into_owned();
        }
    }
    fn uint(&mut self, key: &str, value: u64) {
        if key == "signature_id" && self.sid == 0 {
            self.sid = value;
        }
    }
    fn int(&mut self, _: &str, _: i64) {}
    fn float(&mut self, _: &str, _: f64) {}
    fn bool(&mut self, _: &str, _: bool) {}
    fn begin_object(&mut self, _: &str) {}
    fn begin_array(&mut self, _: &str) {}
    fn end(&mut self) {}
}
