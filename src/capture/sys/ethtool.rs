//! Questions to a port's driver by the ioctl SIOCETHTOOL (`linux/ethtool.h`). It asks the network namespace of the
//! process, whatever is mounted on /sys.

use super::pages::socket;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const GDRVINFO: u32 = 0x03;
const GRINGPARAM: u32 = 0x10;
const GSTRINGS: u32 = 0x1b;
const GSSET_INFO: u32 = 0x37;
const GFEATURES: u32 = 0x3a;
const SFEATURES: u32 = 0x3b;
const GCHANNELS: u32 = 0x3c;
/// The set of strings that names features.
const SS_FEATURES: u32 = 4;
/// Bytes of a name.
const STRING: usize = 32;
/// Features there may be: four times what the kernel has today.
pub const FEATURES: usize = 256;

/// Entries of the rings of each queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    pub rx: u32,
    pub rx_max: u32,
    pub tx: u32,
    pub tx_max: u32,
}

/// Queues in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    pub rx: u32,
    pub combined: u32,
}

/// A feature of the driver or of the kernel for this port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: String,
    pub on: bool,
    /// It can be neither switched on nor off.
    pub fixed: bool,
}

pub struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    pub fn open() -> io::Result<Ethtool> {
        Ok(Ethtool { socket: socket(libc::AF_INET, libc::SOCK_DGRAM, 0)? })
    }

    /// `words` begins with the command and has room for all that the kernel writes for it.
    fn call(&self, port: &str, words: &mut [u32]) -> io::Result<()> {
        if port.len() >= libc::IFNAMSIZ {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        // SAFETY: a structure of plain bytes, for which zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(port.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: the request is whole; what it points to outlives the call and is as long as the callers below say.
        match unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) } {
            n if n < 0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// The driver's name.
    pub fn driver(&self, port: &str) -> io::Result<String> {
        // 196 bytes: the command, then the driver's name in 32.
        let mut words = [0u32; 49];
        words[0] = GDRVINFO;
        self.call(port, &mut words)?;
        Ok(text(&bytes(&words)[4..4 + STRING]))
    }

    pub fn rings(&self, port: &str) -> io::Result<Rings> {
        let mut words = [0u32; 9];
        words[0] = GRINGPARAM;
        self.call(port, &mut words)?;
        Ok(Rings { rx_max: words[1], tx_max: words[4], rx: words[5], tx: words[8] })
    }

    pub fn channels(&self, port: &str) -> io::Result<Channels> {
        let mut words = [0u32; 9];
        words[0] = GCHANNELS;
        self.call(port, &mut words)?;
        Ok(Channels { rx: words[5], combined: words[8] })
    }

    /// Every feature, in the kernel's numbering.
    pub fn features(&self, port: &str) -> io::Result<Vec<Feature>> {
        let names = self.names(port)?;
        let blocks = names.len().div_ceil(32);
        // For each 32 features: available, requested, active, never changed.
        let mut words = vec![0u32; 2 + 4 * blocks];
        (words[0], words[1]) = (GFEATURES, blocks as u32);
        self.call(port, &mut words)?;
        let blocks: Vec<&[u32]> = words[2..].chunks_exact(4).collect();
        let feature = |(i, name): (usize, String)| {
            let bit = |word: usize| blocks.get(i / 32).is_some_and(|b| b[word] >> (i % 32) & 1 != 0);
            Feature { name, on: bit(2), fixed: !bit(0) || bit(3) }
        };
        Ok(names.into_iter().enumerate().map(feature).collect())
    }

    /// Asks for features to go off, by their places among the `of` that there are. Whether they did, only reading tells.
    pub fn switch_off(&self, port: &str, features: &[usize], of: usize) -> io::Result<()> {
        // For each 32 features: which are meant, what they are to be. It has to be as many as the kernel knows.
        let blocks = of.div_ceil(32);
        let mut words = vec![0u32; 2 + 2 * blocks];
        (words[0], words[1]) = (SFEATURES, blocks as u32);
        for i in features.iter().filter(|i| **i < of) {
            words[2 + 2 * (i / 32)] |= 1 << (i % 32);
        }
        self.call(port, &mut words)
    }

    fn names(&self, port: &str) -> io::Result<Vec<String>> {
        let mask = (1u64 << SS_FEATURES).to_ne_bytes();
        let half = |at: usize| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]);
        let mut words = [GSSET_INFO, 0, half(0), half(4), 0];
        self.call(port, &mut words)?;
        let count = words[4] as usize;
        if count > FEATURES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // The kernel writes every name there is, whatever was asked for.
        let mut words = vec![0u32; 3 + FEATURES * STRING / 4];
        (words[0], words[1], words[2]) = (GSTRINGS, SS_FEATURES, count as u32);
        self.call(port, &mut words)?;
        Ok(bytes(&words[3..]).chunks_exact(STRING).take(count).map(text).collect())
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
