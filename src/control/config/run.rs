//! How a live run stands on the wire: capture, what happens while the engine does not answer, what never reaches it.

use super::Error;
use super::resolve::set;
use super::schema::{Overlay, section};
use super::values::{Nets, Size};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// How frames come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureKind {
    /// AF_XDP where it can be, else AF_PACKET.
    #[default]
    Auto,
    AfXdp,
    AfPacket,
}

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum XdpWish {
    /// In the driver where both ports' is known to forward from there; virtual ports' delivers only to peers that poll.
    #[default]
    Auto,
    Native,
    Generic,
    /// Nowhere: AF_PACKET alone. Nothing keeps the wire while the engine is away.
    Off,
}

/// What happens to frames while the engine does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fail {
    /// They are forwarded uninspected.
    #[default]
    Open,
    /// They are dropped.
    Closed,
}

/// What happens when more comes than there is time to inspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overload {
    /// Inspection is left out by levels: of flows past their depth, then of those that cost most, then of all but the
    /// first 16 KiB of each flow. What still finds no room goes by `fail`.
    #[default]
    Shed,
    /// Everything is inspected that finds room; the rest is forwarded.
    Bypass,
    /// The same, and the rest is dropped.
    Drop,
}

/// What happens to frames that are no IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkAction {
    /// Forwarded by the kernel.
    Through,
    Drop,
    /// Decoded by the engine.
    Inspect,
}

section! {
    /// A live run.
    RunSection {
        capture: Option<CaptureKind>,
        xdp: Option<XdpWish>,
        fail: Option<Fail>,
        /// The same before the rules have loaded.
        until_ready: Option<Fail>,
        /// When more comes than there is time to inspect.
        overload: Option<Overload>,
        /// Milliseconds without a finished batch after which a worker does not answer; no batch takes 80.
        stale_ms: Option<u32>,
        /// Seconds after which a data plane that does not answer is killed and started anew.
        stall_seconds: Option<u32>,
        /// Frames of each receive and transmit ring: a power of two.
        ring: Option<Size>,
        /// Always copy frames out of the driver's memory.
        copy: Option<bool>,
        /// Microseconds that a receive call polls the driver; 0 is off.
        busy_poll_us: Option<u32>,
        /// Seconds from the first frame, and from each time that frames passed uninspected, in which connections of before
        /// are taken up where they stand; 0 leaves them to the exception policies.
        resync_seconds: Option<u32>,
        /// When one port of a pair loses its link the other is set down.
        follow_links: Option<bool>,
        /// Flows that need nobody's eyes are carried by the kernel: those that rules bypass or drop, what is encrypted,
        /// those that no rule is about, and bodies past all that is looked at.
        offload: Option<bool>,
        /// The data plane gives up capabilities, files and system calls that it does not need.
        confine: Option<bool>,
        /// Networks whose traffic is forwarded uninspected.
        trusted: Option<Nets>,
        /// Bytes that each data plane takes at its start for what packets will need, in whole 32 MiB: none of them waits for
        /// the kernel to find memory. More is taken when it is needed; 0 takes none. Unless told, an eighth of what the
        /// machine has available, over all data planes, but from 64 MiB to 512 MiB each.
        memory: Option<Size>,
        link: LinkSection,
        /// Bytes of a file of what `--record` writes, and of all of them.
        record_file: Option<Size>,
        record_total: Option<Size>,
        /// Where `stopgap ctl` finds the run.
        control: Option<String>,
        /// Seconds between `stats` records; 0 writes one at the end alone.
        stats_seconds: Option<u32>,
    }
}

section! {
    /// Frames that are no IP.
    LinkSection {
        arp: Option<LinkAction>,
        lldp: Option<LinkAction>,
        /// LACP and its kin (IEEE 802.3 slow protocols).
        slow: Option<LinkAction>,
        /// Frames to the bridges' group address.
        stp: Option<LinkAction>,
        eapol: Option<LinkAction>,
        ptp: Option<LinkAction>,
        pause: Option<LinkAction>,
        mpls: Option<LinkAction>,
        pppoe: Option<LinkAction>,
        /// Other frames with a length instead of an EtherType.
        llc: Option<LinkAction>,
        unknown: Option<LinkAction>,
    }
}

/// A live run, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub capture: CaptureKind,
    pub xdp: XdpWish,
    pub fail: Fail,
    pub until_ready: Fail,
    pub overload: Overload,
    pub stale: Duration,
    pub stall: Duration,
    pub ring: u32,
    pub copy: bool,
    pub busy_poll_us: u32,
    /// Zero: never.
    pub resync: Duration,
    pub follow_links: bool,
    pub offload: bool,
    pub confine: bool,
    pub trusted: Vec<(IpAddr, u8)>,
    /// Bytes; `None` as seems right for the machine.
    pub memory: Option<u64>,
    /// By class of frame, in the order of [`LinkSection`].
    pub link: [LinkAction; 11],
    pub record_file: u64,
    pub record_total: u64,
    pub control: PathBuf,
    /// Zero: only at the end.
    pub stats: Duration,
}

impl Default for Run {
    fn default() -> Self {
        use LinkAction::{Inspect, Through};
        Run {
            capture: CaptureKind::Auto,
            xdp: XdpWish::Auto,
            fail: Fail::Open,
            until_ready: Fail::Open,
            overload: Overload::Shed,
            stale: Duration::from_millis(100),
            stall: Duration::from_secs(2),
            ring: 8192,
            copy: false,
            busy_poll_us: 0,
            resync: Duration::from_secs(60),
            follow_links: true,
            offload: true,
            confine: true,
            trusted: Vec::new(),
            memory: None,
            // What may carry IP is looked into.
            link: [Through, Through, Through, Through, Through, Through, Through, Inspect, Inspect, Through, Through],
            record_file: 64 << 20,
            record_total: 1 << 30,
            control: "/run/stopgap/control.sock".into(),
            stats: Duration::from_secs(8),
        }
    }
}

impl Run {
    pub fn of(s: &RunSection) -> Result<Run, Error> {
        let mut r = Run::default();
        let ms = |v: u32| Duration::from_millis(v.into());
        let seconds = |v: u32| Duration::from_secs(v.into());
        set(&mut r.stale, within("stale-ms", s.stale_ms, 80..=10_000)?.map(ms));
        set(&mut r.stall, within("stall-seconds", s.stall_seconds, 1..=3_600)?.map(seconds));
        set(&mut r.resync, within("resync-seconds", s.resync_seconds, 0..=86_400)?.map(seconds));
        set(&mut r.stats, within("stats-seconds", s.stats_seconds, 0..=86_400)?.map(seconds));
        set(&mut r.busy_poll_us, within("busy-poll-us", s.busy_poll_us, 0..=1_000)?);
        if let Some(Size(v)) = s.ring {
            let fits = u32::try_from(v).ok().filter(|v| v.is_power_of_two() && (64..=32_768).contains(v));
            r.ring =
                fits.ok_or_else(|| Error::of_value(format!("run.ring: {v} is no power of two from 64 to 32768")))?;
        }
        set(&mut r.record_file, s.record_file.map(|s| s.0));
        set(&mut r.record_total, s.record_total.map(|s| s.0));
        if r.record_file < 1 << 20 || r.record_total < 2 * r.record_file {
            let (file, total) = (r.record_file, r.record_total);
            return Err(Error::of_value(format!(
                "run.record-file: {file} is less than 1MiB, or run.record-total: {total} is no room for two of them"
            )));
        }
        r.memory = s.memory.map(|s| s.0);
        set(&mut r.capture, s.capture);
        set(&mut r.xdp, s.xdp);
        set(&mut r.fail, s.fail);
        set(&mut r.until_ready, s.until_ready);
        set(&mut r.overload, s.overload);
        set(&mut r.copy, s.copy);
        set(&mut r.follow_links, s.follow_links);
        set(&mut r.offload, s.offload);
        set(&mut r.confine, s.confine);
        set(&mut r.trusted, s.trusted.clone().map(|n| n.0));
        set(&mut r.control, s.control.as_ref().map(PathBuf::from));
        let l = &s.link;
        let links = [l.arp, l.lldp, l.slow, l.stp, l.eapol, l.ptp, l.pause, l.mpls, l.pppoe, l.llc, l.unknown];
        for (slot, value) in r.link.iter_mut().zip(links) {
            set(slot, value);
        }
        Ok(r)
    }
}

/// A value that is said, if it lies in `range`.
fn within(name: &str, value: Option<u32>, range: RangeInclusive<u32>) -> Result<Option<u32>, Error> {
    match value {
        Some(v) if !range.contains(&v) => {
            let (a, b) = (range.start(), range.end());
            Err(Error::of_value(format!("run.{name}: {v} is outside of {a} to {b}")))
        }
        said => Ok(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_where_they_stand() {
        let sets = |s: &[&str]| crate::config::load(None, &s.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        let run =
            sets(&["run.fail=closed", "run.ring=1KiB", "run.trusted=[10.0.0.0/8]", "run.link.lldp=drop"]).unwrap().run;
        assert_eq!((run.fail, run.ring, run.trusted.len()), (Fail::Closed, 1024, 1));
        assert_eq!((run.link[0], run.link[1]), (LinkAction::Through, LinkAction::Drop));
        for (bad, said) in [
            ("run.ring=1000", "no power of two"),
            ("run.stale-ms=5", "outside of 80 to 10000"),
            ("run.record-total=64MiB", "no room for two"),
            ("run.fail=ajar", "ajar"),
            ("run.trusted=[10.0.0.0/40]", "not an address range"),
        ] {
            let e = sets(&[bad]).unwrap_err().to_string();
            assert!(e.contains(said), "{bad}: {e}");
        }
    }
}
