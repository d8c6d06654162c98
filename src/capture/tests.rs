use super::*;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Frames read to the end, and what ended the reading.
fn drain(r: &mut dyn Receive, max: usize) -> (Vec<OwnedFrame>, Option<String>) {
    let mut all = Vec::new();
    loop {
        let mut frames = Vec::new();
        match r.recv(&mut frames, max) {
            Ok(0) => return (all, None),
            Ok(_) => {}
            Err(e) => return (all, Some(e.to_string())),
        }
        for f in &frames {
            assert_eq!(f.number as usize, all.len() + 1);
            let data = f.data.to_vec();
            all.push(OwnedFrame { ts: f.ts, link: f.link, port: f.port, data, wire_len: f.wire_len, comment: None });
        }
    }
}

fn read_bytes(bytes: &[u8], max: usize) -> (Vec<OwnedFrame>, Option<String>) {
    match open_stream("t", Box::new(Cursor::new(bytes.to_vec()))) {
        Ok(mut r) => drain(&mut r, max),
        Err(e) => (Vec::new(), Some(e.to_string())),
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(b)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn sample() -> Vec<OwnedFrame> {
    (0..10u8)
        .map(|i| OwnedFrame {
            ts: Timestamp::from_nanos(1_700_000_000_123_456_789 + u64::from(i)),
            link: LinkType::ETHERNET,
            port: PortId(u16::from(i % 2)),
            data: vec![i; usize::from(i) * 7],
            wire_len: u32::from(i) * 7 + u32::from(i == 3),
            comment: (i == 4).then(|| "sid 7 rewritten".to_string()),
        })
        .collect()
}

fn write(frames: &[OwnedFrame], format: Format) -> Vec<u8> {
    let out = Shared::default();
    let mut w = Writer::to("t", Box::new(out.clone()), format);
    for f in frames {
        let comment = f.comment.as_deref();
        w.send(&Outgoing { ts: f.ts, port: f.port, link: f.link, data: &f.data, wire_len: f.wire_len, comment })
            .unwrap();
    }
    w.flush().unwrap();
    drop(w);
    std::mem::take(&mut *out.0.lock().unwrap())
}

fn without_comments(mut frames: Vec<OwnedFrame>) -> Vec<OwnedFrame> {
    frames.iter_mut().for_each(|f| f.comment = None);
    frames
}

#[test]
fn what_is_written_reads_back() {
    let ng = write(&sample(), Format::Pcapng);
    for max in [1, 3, 1000] {
        assert_eq!(read_bytes(&ng, max), (without_comments(sample()), None));
    }
    for name in ["port0", "port1", "sid 7 rewritten"] {
        assert!(ng.windows(name.len()).any(|w| w == name.as_bytes()), "{name}");
    }
    let mut merged = without_comments(sample());
    merged.iter_mut().for_each(|f| f.port = PortId(0));
    assert_eq!(read_bytes(&write(&sample(), Format::Pcap), 4), (merged, None));
    assert_eq!(read_bytes(&write(&[], Format::Pcap), 4), (vec![], None));
    assert_eq!(read_bytes(&write(&[], Format::Pcapng), 4), (vec![], None));
}

#[test]
fn classic_refuses_a_second_link_type_and_pcapng_takes_it() {
    let mut frames = sample();
    frames[1].link = LinkType::RAW;
    let mut w = Writer::to("t", Box::new(Shared::default()), Format::Pcap);
    let sent = frames.iter().take(2).map(|f| {
        w.send(&Outgoing { ts: f.ts, port: f.port, link: f.link, data: &f.data, wire_len: f.wire_len, comment: None })
    });
    let results: Vec<_> = sent.collect();
    assert!(matches!(results[..], [Ok(()), Err(Error::LinkType { got: 101, has: 1, .. })]));
    let back = read_bytes(&write(&frames, Format::Pcapng), 8).0;
    assert_eq!(back[1].link, LinkType::RAW);
}

/// A classic file written word by word in the byte order asked for.
fn classic(magic: u32, big: bool, long: bool) -> Vec<u8> {
    let w = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut b: Vec<u8> = [magic, 0x0002_0004, 0, 0, 65535, 0x1000_0001].iter().flat_map(|v| w(*v)).collect();
    b.extend([100, 999_999, 3, 60].iter().flat_map(|v| w(*v)));
    if long {
        b.extend([0; 8]);
    }
    b.extend([1, 2, 3]);
    b
}

#[test]
fn classic_in_every_byte_order_and_resolution() {
    for big in [false, true] {
        for (magic, ns) in [(0xa1b2_c3d4, 999_999_000u64), (0xa1b2_3c4d, 999_999)] {
            let (frames, end) = read_bytes(&classic(magic, big, false), 8);
            assert_eq!(end, None);
            assert_eq!(frames[0].ts.nanos(), 100_000_000_000 + ns);
            assert_eq!((frames[0].link, frames[0].wire_len, &frames[0].data[..]), (LinkType(1), 60, &[1u8, 2, 3][..]));
        }
        assert_eq!(read_bytes(&classic(0xa1b2_cd34, big, true), 8).0[0].data, [1, 2, 3]);
    }
}

/// A pcapng block in either byte order.
fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let w = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let len = w(body.len() as u32 + 12);
    [&w(kind)[..], &len, body, &len].concat()
}

#[test]
fn pcapng_sections_interfaces_and_clocks() {
    let mut file = Vec::new();
    for big in [false, true] {
        let w = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let h = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let words = |v: &[u32]| v.iter().flat_map(|v| w(*v)).collect::<Vec<u8>>();
        let section = [&w(ng::BYTE_ORDER)[..], &h(1), &h(0), &[0xff; 8]].concat();
        file.extend(block(big, ng::SECTION, &section));
        // Microseconds by default; then 2^-10 seconds, 7 seconds ahead.
        file.extend(block(big, ng::INTERFACE, &[&h(1)[..], &h(0), &w(0)].concat()));
        let offset = if big { 7i64.to_be_bytes() } else { 7i64.to_le_bytes() };
        let options = [&h(9)[..], &h(1), &[0x8a, 0, 0, 0], &h(14), &h(8), &offset, &h(0), &h(0)].concat();
        file.extend(block(big, ng::INTERFACE, &[&h(101)[..], &h(0), &w(2), &options].concat()));
        file.extend(block(big, 0x0bad, b"skip"));
        file.extend(block(big, ng::ENHANCED_PACKET, &words(&[0, 0, 5, 4, 9, 0x0102_0304])));
        file.extend(block(big, ng::ENHANCED_PACKET, &words(&[1, 0, 2048, 0, 0])));
        let old = [&h(1)[..], &h(0), &words(&[0, 1024, 4, 4, 0])].concat();
        file.extend(block(big, ng::OBSOLETE_PACKET, &old));
        file.extend(block(big, ng::SIMPLE_PACKET, &words(&[3, 0xaabb_ccdd])));
    }
    for max in [1, 100] {
        let (frames, end) = read_bytes(&file, max);
        assert_eq!(end, None);
        assert_eq!(frames.len(), 8);
        for f in frames.chunks(4) {
            assert_eq!((f[0].ts.nanos(), f[0].link, f[0].wire_len, f[0].data.len()), (5_000, LinkType(1), 9, 4));
            assert_eq!((f[1].ts.nanos(), f[1].port, f[1].link), (9_000_000_000, PortId(1), LinkType::RAW));
            assert_eq!((f[2].ts.nanos(), f[2].port), (8_000_000_000, PortId(1)));
            assert_eq!((f[3].ts, f[3].data.len(), f[3].wire_len), (Timestamp::ZERO, 3, 3));
        }
    }
}

#[test]
fn cut_anywhere_gives_the_frames_before_and_says_where() {
    for format in [Format::Pcap, Format::Pcapng] {
        let whole = write(&sample(), format);
        let mut clean = 0;
        for cut in 0..whole.len() {
            let (frames, end) = read_bytes(&whole[..cut], 4);
            for (got, sent) in frames.iter().zip(sample()) {
                assert_eq!(got.data, sent.data);
            }
            clean += usize::from(end.is_none());
            if let Some(message) = end {
                let says = ["cut short at byte", "file is empty", "too short", "header is cut short"];
                assert!(says.iter().any(|s| message.contains(s)), "{message}");
                assert!(message.starts_with("t: "), "{message}");
            }
        }
        // Only a cut between records is not noticed.
        assert!(clean <= sample().len() + 3, "{clean}");
    }
}

#[test]
fn absurd_lengths_end_the_reading() {
    let mut pcap = write(&sample(), Format::Pcap);
    let second = 24 + 16;
    pcap[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (frames, end) = read_bytes(&pcap, 100);
    assert_eq!(frames.len(), 1);
    assert_eq!(end.unwrap(), "t: broken at byte 40: a record claims 4294967295 bytes, more than 262144");
    let mut ng = write(&sample(), Format::Pcapng);
    for (len, what) in [(8u32, "claims a length of 8"), (30, "claims a length of 30"), (0xffff_fffc, "more than")] {
        let at = ng.windows(4).position(|w| w == ng::ENHANCED_PACKET.to_le_bytes()).unwrap();
        ng[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
        let (frames, end) = read_bytes(&ng, 100);
        assert!(frames.is_empty() && end.as_ref().unwrap().contains(what), "{end:?}");
    }
    let two = [&ng[..], &block(false, 0x0bad, &[])].concat();
    assert!(read_bytes(&two, 1).1.is_some());
}

#[test]
fn an_unknown_block_longer_than_the_window_is_skipped() {
    let mut file = write(&sample()[..1], Format::Pcapng);
    file.extend(block(false, 0x0bad, &vec![0; 5 << 20]));
    let packet: Vec<u8> = [0u32, 0, 5, 0, 0].iter().flat_map(|v| v.to_le_bytes()).collect();
    file.extend(block(false, ng::ENHANCED_PACKET, &packet));
    let (frames, end) = read_bytes(&file, 100);
    assert_eq!((frames.len(), end), (2, None));
}

fn gzip(part: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(part).unwrap();
    e.finish().unwrap()
}

fn xz(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new(part, 1).read_to_end(&mut out).unwrap();
    out
}

fn zstd(part: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_by_magic_several_members_and_cut() {
    let whole = write(&sample(), Format::Pcapng);
    let (a, b) = whole.split_at(100);
    let skippable = [0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
    let files = [
        [gzip(a), gzip(b)].concat(),
        [xz(a), xz(b)].concat(),
        [&skippable[..], &zstd(a), &skippable, &zstd(b)].concat(),
    ];
    for file in files {
        assert_eq!(read_bytes(&file, 3), (without_comments(sample()), None), "{:?}", Compression::of(&file));
        let (frames, end) = read_bytes(&file[..file.len() - 3], 3);
        assert!(end.is_some() || frames.len() == sample().len());
        for i in 0..file.len() {
            let mut bad = file.clone();
            bad[i] ^= 0x40;
            fuzz::fuzz_compressed(&bad);
        }
    }
}

/// A file that never ends: its beginning, then the same over and over. Counts what was taken of it.
struct Endless {
    first: Cursor<Vec<u8>>,
    again: Cursor<Vec<u8>>,
    taken: Arc<Mutex<u64>>,
}

impl Read for Endless {
    fn read(&mut self, b: &mut [u8]) -> std::io::Result<usize> {
        let mut n = self.first.read(b)?;
        if n == 0 {
            n = self.again.read(b)?;
        }
        if n == 0 {
            self.again.set_position(0);
            n = self.again.read(b)?;
        }
        *self.taken.lock().unwrap() += n as u64;
        Ok(n)
    }
}

/// Bombs are read as they come: whatever lies in wait, a batch of frames takes no more than its share of it.
#[test]
fn a_bomb_is_read_as_it_comes() {
    // A record of zeros is one of no bytes.
    let (head, zeros) = (write(&[], Format::Pcap), vec![0; 1 << 20]);
    for compress in [gzip as fn(&[u8]) -> Vec<u8>, xz, zstd] {
        let taken = Arc::default();
        let again = compress(&zeros);
        let whole = compress(&[&head[..], &zeros].concat());
        let first = Cursor::new(whole);
        let src = Endless { first, again: Cursor::new(again.clone()), taken: Arc::clone(&taken) };
        let mut r = open_stream("t", Box::new(src)).unwrap();
        let mut read = 0;
        while read < 300_000 {
            read += r.recv(&mut Vec::new(), 1_000).unwrap();
        }
        // What is behind those frames, and the buffers before and behind the decompressor.
        let shares = 300_000 * 16 / zeros.len() as u64 + 8;
        let taken = *taken.lock().unwrap();
        assert!(taken <= shares * again.len() as u64 + (1 << 19), "{taken} of {}", again.len());
    }
}

/// A zstd frame of one raw block, with these bytes between its magic and the block.
fn zstd_frame(header: &[u8]) -> Vec<u8> {
    let body = write(&sample(), Format::Pcapng);
    let block = (1 | (body.len() as u32) << 3).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd], header, &block[..3], &body].concat()
}

#[test]
fn a_zstd_window_too_large_is_refused() {
    // Five bits of exponent, three of eighths of it: 128 MiB, and 16 more.
    for (window, fits) in [(0x88, true), (0x89, false), (0xff, false)] {
        let (frames, end) = read_bytes(&zstd_frame(&[0, window]), 100);
        assert_eq!((frames.len(), end.is_none()), (if fits { 10 } else { 0 }, fits), "{end:?}");
        assert!(end.as_ref().is_none_or(|e| e.to_lowercase().contains("window")), "{end:?}");
    }
    // The length of a frame without a window is its window.
    let (frames, end) = read_bytes(&zstd_frame(&[0xe0, 0, 0, 0, 0, 1, 0, 0, 0]), 100);
    assert!(frames.is_empty() && end.is_some_and(|e| e.to_lowercase().contains("window")));
}

#[test]
fn a_zstd_dictionary_is_nowhere() {
    let (frames, end) = read_bytes(&zstd_frame(&[1, 0x58, 7]), 100);
    assert!(frames.is_empty());
    assert!(end.as_ref().is_some_and(|e| e.to_lowercase().contains("dict")), "{end:?}");
}

/// Windows have 2 or 3 times a power of two: the largest that fits has 192 MiB, the next 256, which leaves no room beside.
#[test]
fn an_xz_window_too_large_is_refused() {
    let mut file = Vec::new();
    liblzma::read::XzEncoder::new(&write(&sample(), Format::Pcapng)[..], 1).read_to_end(&mut file).unwrap();
    // Behind the stream's header the block's: its length, flags, then LZMA2, one byte of properties, which is the window.
    assert_eq!(file[12..16], [2, 0, 0x21, 1]);
    for (window, fits) in [(31, true), (32, false)] {
        file[16] = window;
        let mut crc = flate2::Crc::new();
        crc.update(&file[12..20]);
        file[20..24].copy_from_slice(&crc.sum().to_le_bytes());
        let (frames, end) = read_bytes(&file, 100);
        assert_eq!((frames.len(), end.is_none()), (if fits { 10 } else { 0 }, fits), "{end:?}");
    }
}

#[test]
fn opening_says_what_is_wrong() {
    let message = |p: &Path| open(p).err().unwrap().to_string();
    let dir = std::env::temp_dir();
    assert!(message(&dir).contains("is a directory"));
    assert!(message(Path::new("/no/such.pcap")).starts_with("/no/such.pcap: No such file"));
    assert_eq!(read_bytes(b"", 1).1.unwrap(), "t: not a capture file: the file is empty");
    assert!(read_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1).1.unwrap().contains("neither pcap nor pcapng"));
    assert!(Writer::create(&dir).is_err());
    let full = Writer::create(Path::new("/dev/full"));
    if let Ok(mut w) = full {
        let e = w.flush().unwrap_err().to_string();
        assert!(e.starts_with("/dev/full: cannot write: "), "{e}");
    }
}

#[test]
fn flipped_bits_never_panic() {
    for format in [Format::Pcap, Format::Pcapng] {
        let whole = write(&sample()[..3], format);
        for i in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[i / 8] ^= 1 << (i % 8);
            fuzz::fuzz_target(&bad);
        }
    }
}

#[test]
fn memory_gives_and_keeps() {
    let mut m = Memory::new(without_comments(sample()));
    assert_eq!(drain(&mut m, 3), (without_comments(sample()), None));
    let f = Outgoing {
        ts: Timestamp::ZERO,
        port: PortId(1),
        link: LinkType::RAW,
        data: &[1],
        wire_len: 1,
        comment: Some("c"),
    };
    m.send(&f).unwrap();
    assert_eq!((m.sent[0].port, m.sent[0].comment.as_deref()), (PortId(1), Some("c")));
}
