//! Opening: what the path names, what the first bytes say of compression.

use super::{Error, Reader};
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::Path;

/// Memory an xz decoder may take: `xz -9` needs 65 MiB.
const XZ_MEMORY_MAX: u64 = 256 << 20;

/// Window of a zstd frame: `zstd -19` takes 8 MiB, `--long` 128.
const ZSTD_WINDOW_MAX: u64 = 128 << 20;

/// How a capture file is compressed, told by its first bytes, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// By the first bytes of a file (six are enough).
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// Opens a capture file, or standard input for `-`.
pub fn open(path: &Path) -> Result<Reader, Error> {
    let name = path.display().to_string();
    if name == "-" {
        return open_stream("standard input", Box::new(io::stdin()));
    }
    let failed = |source| Error::Open { path: name.clone(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Error::Directory { path: name });
    }
    open_stream(&name, Box::new(file))
}

/// A capture from any stream of bytes; `name` is for messages.
pub fn open_stream(name: &str, mut src: Box<dyn Read + Send>) -> Result<Reader, Error> {
    let mut first = Vec::with_capacity(6);
    let read = src.by_ref().take(6).read_to_end(&mut first);
    read.map_err(|source| Error::Open { path: name.into(), source })?;
    let compression = Compression::of(&first);
    let whole: Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>> = Cursor::new(first).chain(src);
    let failed = |source| Error::Open { path: name.into(), source };
    let plain: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 18, whole))),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, liblzma::stream::CONCATENATED)
                .map_err(|e| failed(e.into()))?;
            Box::new(liblzma::read::XzDecoder::new_stream(BufReader::with_capacity(1 << 18, whole), stream))
        }
        Compression::Zstd => Box::new(Zstd::new(BufReader::with_capacity(1 << 18, whole))),
    };
    Reader::new(name, plain)
}

/// Every frame of a zstd stream, one after the other.
struct Zstd<R: Read> {
    src: Option<R>,
    frame: Option<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: io::BufRead> Zstd<R> {
    fn new(src: R) -> Self {
        Zstd { src: Some(src), frame: None }
    }

    /// Begins the next frame; `false` at the stream's end.
    fn next_frame(&mut self) -> io::Result<bool> {
        use ruzstd::decoding::errors::{FrameDecoderError as E, ReadFrameHeaderError as H};
        loop {
            let Some(mut src) = self.src.take() else { return Ok(false) };
            if src.fill_buf()?.is_empty() {
                return Ok(false);
            }
            // A skippable frame is announced by its magic and length, and its bytes are passed over here.
            let skippable = matches!(src.fill_buf()?, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
            if skippable {
                let mut head = [0u8; 8];
                src.read_exact(&mut head)?;
                let [.., a, b, c, d] = head;
                let len = u64::from(u32::from_le_bytes([a, b, c, d]));
                if io::copy(&mut src.by_ref().take(len), &mut io::sink())? < len {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.src = Some(src);
                continue;
            }
            match ruzstd::decoding::StreamingDecoder::new_with_max_window_size(src, ZSTD_WINDOW_MAX) {
                Ok(frame) => {
                    self.frame = Some(frame);
                    return Ok(true);
                }
                Err(E::ReadFrameHeaderError(H::MagicNumberReadError(e))) => return Err(e),
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
            }
        }
    }
}

impl<R: io::BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.frame.is_none() && !self.next_frame()? {
                return Ok(0);
            }
            let Some(frame) = &mut self.frame else { return Ok(0) };
            match frame.read(buf)? {
                0 => self.src = self.frame.take().map(ruzstd::decoding::StreamingDecoder::into_inner),
                n => return Ok(n),
            }
        }
    }
}
