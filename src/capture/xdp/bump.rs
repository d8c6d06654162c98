//! The program on a pair's ports: put there, taken over, told what to do, taken off.
//!
//! It stays when we go. A start finds the program of a dead instance on the ports and goes on with it and its tables where
//! it is the one we were built with; another one is replaced, one port after the other, each without a gap.

use super::layout::{Count, FlowAction, FlowEntry, FlowKey, Settings, TRUSTED_MAX, WORKERS_MAX, WorkerRow, octets};
use crate::l2::{Action, Class};
use crate::sys::bpf::{self, Mapped, XdpMode};
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, DevMap, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::{ProgramError, ProgramInfo, Xdp, loaded_programs};
use aya::{Ebpf, EbpfError};
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The program, as the build compiled it.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bump.bpf.o"));
const NAME: &str = "stopgap_bump";

#[derive(Debug, thiserror::Error)]
pub enum BumpError {
    #[error("the kernel does not take the XDP program: {0}")]
    Load(#[from] EbpfError),
    #[error("the kernel does not take the XDP program: {0}")]
    Program(#[from] ProgramError),
    #[error("a table of the XDP program: {0}")]
    Map(#[from] MapError),
    #[error("a table of the XDP program: {0}")]
    XdpMap(#[from] aya::maps::xdp::XdpMapError),
    #[error("the XDP program has no table `{0}`")]
    Missing(&'static str),
    #[error("attaching the XDP program to {port}: {source}")]
    Attach { port: String, source: io::Error },
    #[error("{port} has an XDP program of somebody else's; take it off with `ip link set dev {port} xdp off`")]
    Taken { port: String },
    #[error("reading what is attached to {port}: {source}")]
    Ask { port: String, source: io::Error },
    #[error("{0} trusted networks are more than the {TRUSTED_MAX} there is room for")]
    Trusted(usize),
    #[error("memory of the XDP program's tables: {0}")]
    Memory(#[from] io::Error),
}

/// What becomes of frames while the engine does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// They are forwarded uninspected.
    #[default]
    Open,
    /// They are dropped.
    Closed,
}

/// What becomes of frames that the engine does not get.
#[derive(Clone, Copy, Debug)]
pub struct Policies {
    /// While it does not answer.
    pub fail: Policy,
    /// Before it first does.
    pub unready: Policy,
    /// While its worker has no room for more.
    pub full: Policy,
}

/// How the program is to behave.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// A worker that has not finished a batch for so long does not answer.
    pub stale: Duration,
    /// Frames a worker may have waiting before it counts as not answering.
    pub ring_limit: u32,
    pub policies: Policies,
    /// Frames go to packet sockets behind the program.
    pub to_stack: bool,
}

/// Whether the program was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Fresh,
    /// Of an instance that is gone, with its tables.
    TakenOver,
}

/// A port of the pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub ifindex: u32,
}

/// The program on a pair's ports.
pub struct Bump {
    ports: [Port; 2],
    mode: XdpMode,
    settings: Mapped<Settings>,
    workers: Mapped<WorkerRow>,
    sockets: XskMap<MapData>,
    trusted: LpmTrie<MapData, [u8; 16], u32>,
    links: Array<MapData, u32>,
    counts: PerCpuArray<MapData, u64>,
    tables: Maps,
}

impl Bump {
    /// Puts the program on the ports, in the driver where `native` and the driver can, or takes over the one that is there.
    pub fn put_on(ports: [Port; 2], native: bool, terms: &Terms) -> Result<(Bump, Kept), BumpError> {
        let mut object = Ebpf::load(OBJECT)?;
        let program: &mut Xdp = object.program_mut(NAME).ok_or(BumpError::Missing(NAME))?.try_into()?;
        program.load()?;
        let ours = program.info()?;
        let there = [on(&ports[0])?, on(&ports[1])?];
        let same = |info: &ProgramInfo| info.tag() == ours.tag();
        if let [Some((mode, a)), Some((other, b))] = &there
            && a.id() == b.id()
            && same(a)
            && mode == other
        {
            let bump = Bump::of(a, ports.clone(), *mode)?;
            let wired = |i: usize| bump.rules().ifindex[i].load(Ordering::Relaxed) == ports[i].ifindex;
            if wired(0) && wired(1) {
                bump.terms(terms);
                return Ok((bump, Kept::TakenOver));
            }
        }
        // A mode cannot be changed while a program is there.
        let mut mode = there.iter().flatten().map(|(m, _)| *m).next().unwrap_or(match native {
            true => XdpMode::Native,
            false => XdpMode::Generic,
        });
        let mut bump = Bump::of(&ours, ports.clone(), mode)?;
        bump.wire(&ours)?;
        bump.terms(terms);
        let fresh = there.iter().all(Option::is_none);
        let program = ours.fd()?;
        let put = |mode| {
            ports.iter().try_for_each(|port| {
                let put = bpf::attach(port.ifindex, Some(program.as_fd()), mode);
                put.map_err(|source| BumpError::Attach { port: port.name.clone(), source })
            })
        };
        let mut done = put(mode);
        if done.is_err() && mode == XdpMode::Native && fresh {
            // A driver that cannot: both ports in the generic path.
            let _ = bpf::attach(ports[0].ifindex, None, mode);
            mode = XdpMode::Generic;
            done = put(mode);
        }
        done?;
        bump.mode = mode;
        Ok((bump, Kept::Fresh))
    }

    /// The program that is on both ports.
    pub fn find(ports: [Port; 2]) -> Result<Option<Bump>, BumpError> {
        match [on(&ports[0])?, on(&ports[1])?] {
            [Some((mode, a)), Some((_, b))] if a.id() == b.id() => Ok(Some(Bump::of(&a, ports, mode)?)),
            _ => Ok(None),
        }
    }

    /// Takes the program off a port. Whether there was one of ours.
    pub fn take_off(port: &Port) -> Result<bool, BumpError> {
        let Some((mode, _)) = on(port)? else { return Ok(false) };
        let done = bpf::attach(port.ifindex, None, mode);
        done.map_err(|source| BumpError::Attach { port: port.name.clone(), source })?;
        Ok(true)
    }

    fn of(info: &ProgramInfo, ports: [Port; 2], mode: XdpMode) -> Result<Bump, BumpError> {
        let maps = Maps::of(info)?;
        Ok(Bump {
            ports,
            mode,
            settings: Mapped::new(maps.get("settings")?.fd().as_fd(), 1)?,
            workers: Mapped::new(maps.get("workers")?.fd().as_fd(), WORKERS_MAX)?,
            sockets: XskMap::try_from(Map::from_map_data(maps.get("sockets")?)?)?,
            trusted: LpmTrie::try_from(Map::from_map_data(maps.get("trusted")?)?)?,
            links: Array::try_from(Map::from_map_data(maps.get("links")?)?)?,
            counts: PerCpuArray::try_from(Map::from_map_data(maps.get("counts")?)?)?,
            tables: maps,
        })
    }

    /// Tells the program which ports it serves.
    fn wire(&self, info: &ProgramInfo) -> Result<(), BumpError> {
        let mut out: DevMap<MapData> = DevMap::try_from(Map::from_map_data(Maps::of(info)?.get("ports")?)?)?;
        for (i, port) in (0u32..).zip(&self.ports) {
            out.set(i, port.ifindex, None, 0)?;
            if let Some(slot) = self.rules().ifindex.get(i as usize) {
                slot.store(port.ifindex, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn rules(&self) -> &Settings {
        &self.settings.rows()[0]
    }

    /// How old a worker's last beat may be, and how many frames may wait for it.
    pub fn patience(&self, stale: Duration, ring_limit: u32) {
        let s = self.rules();
        s.stale_ns.store(stale.as_nanos() as u64, Ordering::Relaxed);
        s.ring_limit.store(ring_limit, Ordering::Relaxed);
    }

    fn terms(&self, t: &Terms) {
        self.patience(t.stale, t.ring_limit);
        let s = self.rules();
        self.policies(&t.policies);
        s.to_stack.store(t.to_stack.into(), Ordering::Relaxed);
        s.ready.store(0, Ordering::Release);
    }

    pub fn policies(&self, p: &Policies) {
        let number = |p: Policy| u32::from(p == Policy::Closed);
        let s = self.rules();
        for (slot, policy) in [(&s.fail, p.fail), (&s.unready, p.unready), (&s.full, p.full)] {
            slot.store(number(policy), Ordering::Relaxed);
        }
    }

    pub fn ports(&self) -> &[Port; 2] {
        &self.ports
    }

    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Queue by queue in turn is one of so many workers'.
    pub fn divide(&self, workers: usize) {
        self.rules().workers.store(workers as u32, Ordering::Relaxed);
    }

    /// The engine has begun to answer, with all its sockets in place. From now on its beats count.
    pub fn ready(&self, yes: bool) {
        self.rules().ready.store(yes.into(), Ordering::Release);
    }

    /// The engine goes away: what holds while it does not answer holds at once.
    pub fn unready(&self) {
        let s = self.rules();
        s.unready.store(s.fail.load(Ordering::Relaxed), Ordering::Relaxed);
        self.ready(false);
    }

    /// Frames go to packet sockets behind the program, or to its AF_XDP ones.
    pub fn to_stack(&self, yes: bool) {
        self.rules().to_stack.store(yes.into(), Ordering::Relaxed);
    }

    /// The operator has everything through, or not.
    pub fn bypass(&self, on: bool) {
        if on != self.bypassed() {
            self.rules().bypass.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub fn bypassed(&self) -> bool {
        self.bypass_turns() % 2 == 1
    }

    /// How often that changed, ever. Who looks after it took a frame knows of every change before that frame came.
    pub fn bypass_turns(&self) -> u32 {
        self.rules().bypass.load(Ordering::Acquire)
    }

    /// Entries of flows made before are void from now on. The number that holds.
    pub fn new_epoch(&self) -> u64 {
        self.rules().epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The number that holds.
    pub fn epoch(&self) -> u64 {
        self.rules().epoch.load(Ordering::Acquire)
    }

    /// The worker's row, for its beat.
    pub fn worker(&self, n: usize) -> Option<&WorkerRow> {
        self.workers.rows().get(n)
    }

    /// The worker has so many frames waiting that the next one does not go to it.
    pub fn is_overrun(&self, n: usize) -> bool {
        let (waiting, limit) = self.waiting(n);
        waiting > limit
    }

    /// Frames that wait for the worker, and that may.
    pub fn waiting(&self, n: usize) -> (u64, u64) {
        let waiting = |row: &WorkerRow| {
            row.handed.load(Ordering::Relaxed).wrapping_sub(row.consumed.load(Ordering::Relaxed)).cast_signed()
        };
        let waiting = self.worker(n).map_or(0, waiting);
        (u64::try_from(waiting).unwrap_or_default(), self.rules().ring_limit.load(Ordering::Relaxed).into())
    }

    /// Frames of a queue go to this AF_XDP socket.
    pub fn serve(&mut self, queue: usize, port: usize, socket: BorrowedFd<'_>) -> Result<(), BumpError> {
        use std::os::fd::AsRawFd;
        let slot = (port * super::layout::QUEUES_MAX + queue) as u32;
        Ok(self.sockets.set(slot, socket.as_raw_fd(), 0)?)
    }

    /// A way of its own to the table of flows, for a worker.
    pub fn flow_table(&self) -> Result<FlowTable, BumpError> {
        Ok(FlowTable { flows: HashMap::try_from(Map::from_map_data(self.tables.get("flows")?)?)? })
    }

    /// Traffic from or to these networks is forwarded uninspected. Prefix lengths are of the address's own family.
    pub fn trust(&mut self, networks: &[(IpAddr, u8)]) -> Result<(), BumpError> {
        if networks.len() > TRUSTED_MAX {
            return Err(BumpError::Trusted(networks.len()));
        }
        let (old, new) = (self.trusted_networks(), networks.iter().map(network).collect::<BTreeSet<_>>());
        // What is trusted before and after is so all the time: of a connection, one frame that came up would be midstream.
        for (prefix, addr) in new.difference(&old) {
            self.trusted.insert(&Key::new(*prefix, *addr), 1, 0)?;
        }
        for (prefix, addr) in old.difference(&new) {
            self.trusted.remove(&Key::new(*prefix, *addr))?;
        }
        self.rules().trusted.store(u32::from(!networks.is_empty()), Ordering::Relaxed);
        Ok(())
    }

    /// Whether it forwards traffic of other networks than these.
    pub fn distrusts(&self, networks: &[(IpAddr, u8)]) -> bool {
        !self.trusted_networks().is_subset(&networks.iter().map(network).collect())
    }

    fn trusted_networks(&self) -> BTreeSet<Network> {
        self.trusted.keys().filter_map(Result::ok).map(|k| (k.prefix_len(), k.data())).collect()
    }

    /// What becomes of frames of a class that is no IP.
    pub fn link_policy(&mut self, class: Class, action: Action) -> Result<(), BumpError> {
        Ok(self.links.set(class as u32, action as u32, 0)?)
    }

    /// What the program counted, by port.
    pub fn counts(&self, port: usize) -> Vec<u64> {
        let of = |c: &Count| {
            let index = (port * Count::ALL.len()) as u32 + *c as u32;
            self.counts.get(&index, 0).map_or(0, |by_cpu| by_cpu.iter().sum())
        };
        Count::ALL.iter().map(of).collect()
    }
}

/// Bits of the prefix, and the address with no others: as the kernel tells networks apart.
type Network = (u32, [u8; 16]);

fn network((addr, prefix): &(IpAddr, u8)) -> Network {
    let bits = u32::from(*prefix) + if addr.is_ipv4() { 96 } else { 0 };
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    (bits, (u128::from_be_bytes(octets(*addr)) & mask).to_be_bytes())
}

/// The flows that the kernel forwards or drops by itself.
pub struct FlowTable {
    flows: HashMap<MapData, FlowKey, FlowEntry>,
}

impl FlowTable {
    /// The kernel does so with a direction of a flow, as long as `epoch` is the number that holds ([`Bump::new_epoch`]).
    /// `until`: of [`FlowAction::BypassUntil`].
    pub fn keep(&mut self, key: &FlowKey, action: FlowAction, until: u32, epoch: u64) -> Result<(), BumpError> {
        let shown_ns = bpf::monotonic_ns();
        let entry = FlowEntry { epoch, shown_ns, frames: 0, bytes: 0, action: action as u32, until };
        Ok(self.flows.insert(key, entry, 0)?)
    }

    /// It does so no more. What it did meanwhile.
    pub fn release(&mut self, key: &FlowKey) -> Option<FlowEntry> {
        let entry = self.flows.get(key, 0).ok();
        let _ = self.flows.remove(key);
        entry
    }
}

/// Our program on a port, whichever version of it.
fn on(port: &Port) -> Result<Option<(XdpMode, ProgramInfo)>, BumpError> {
    let there = bpf::attached(port.ifindex).map_err(|source| BumpError::Ask { port: port.name.clone(), source })?;
    let Some((mode, id)) = there else { return Ok(None) };
    match loaded_programs().flatten().find(|p| p.id() == id) {
        Some(info) if info.name_as_str() == Some(NAME) => Ok(Some((mode, info))),
        _ => Err(BumpError::Taken { port: port.name.clone() }),
    }
}

/// The program's tables, by name.
struct Maps(Vec<u32>);

impl Maps {
    fn of(info: &ProgramInfo) -> Result<Maps, BumpError> {
        Ok(Maps(info.map_ids()?.unwrap_or_default()))
    }

    fn get(&self, name: &'static str) -> Result<MapData, BumpError> {
        for id in &self.0 {
            let map = MapData::from_id(*id)?;
            if map.info()?.name_as_str() == Some(name) {
                return Ok(map);
            }
        }
        Err(BumpError::Missing(name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::FLOWS_MAX;
    use super::*;

    /// The program and its tables, on no port; `None` where this process may not load it.
    fn loaded(test: &str) -> Option<(Ebpf, Bump)> {
        let mut object = match Ebpf::load(OBJECT) {
            Ok(object) => object,
            Err(e) => {
                eprintln!("skipped: {test} wants to load an XDP program, which needs root: {e}");
                return None;
            }
        };
        let program: &mut Xdp = object.program_mut(NAME).unwrap().try_into().unwrap();
        program.load().unwrap();
        let info = program.info().unwrap();
        let port = |name: &str| Port { name: name.into(), ifindex: 0 };
        let bump = Bump::of(&info, [port("a"), port("b")], XdpMode::Generic).unwrap();
        Some((object, bump))
    }

    #[test]
    fn the_least_recent_flows_make_room() {
        let Some((_object, bump)) = loaded("the_least_recent_flows_make_room") else { return };
        let mut table = bump.flow_table().unwrap();
        let addr = |i: u32| (IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + i)), 80);
        let key = |i: u32| FlowKey::new(addr(i), addr(0), 6, &[], 0).unwrap();
        for i in 0..FLOWS_MAX as u32 + 5_000 {
            table.keep(&key(i), FlowAction::Drop, 0, 1).unwrap();
        }
        let kept = table.flows.keys().count();
        assert!((FLOWS_MAX / 2..=FLOWS_MAX).contains(&kept), "{kept}");
        let last = table.release(&key(FLOWS_MAX as u32 + 4_999)).unwrap();
        assert_eq!(last.action, FlowAction::Drop as u32);
        assert!(table.release(&key(FLOWS_MAX as u32 + 4_999)).is_none());
    }

    #[test]
    fn too_many_trusted_networks_are_refused_and_change_nothing() {
        let Some((_object, mut bump)) = loaded("too_many_trusted_networks") else { return };
        let nets = |n: usize| -> Vec<(IpAddr, u8)> {
            (0..n as u32).map(|i| (IpAddr::from(std::net::Ipv4Addr::from(i << 12)), 20)).collect()
        };
        bump.trust(&nets(TRUSTED_MAX)).unwrap();
        assert!(matches!(bump.trust(&nets(TRUSTED_MAX + 1)), Err(BumpError::Trusted(_))));
        assert_eq!(bump.trusted.keys().count(), TRUSTED_MAX);
        // All others, with no room made before.
        let others: Vec<_> =
            (0..TRUSTED_MAX as u32).map(|i| (IpAddr::from(u128::from(i).to_be_bytes()), 128)).collect();
        bump.trust(&others).unwrap();
        assert_eq!(bump.trusted.keys().count(), TRUSTED_MAX);
        bump.trust(&nets(1)).unwrap();
        assert_eq!(bump.trusted.keys().count(), 1);
        // The same network by another of its addresses.
        let written = |text: &str, n: u8| (text.parse::<IpAddr>().unwrap(), n);
        for text in ["10.0.0.0", "10.0.0.1", "10.255.255.255", "10.0.0.0"] {
            bump.trust(&[written(text, 8), written("::1", 0)]).unwrap();
            assert_eq!(bump.trusted.keys().count(), 2, "{text}");
            assert!(!bump.distrusts(&[written("10.9.9.9", 8), written("::", 0), written("10.0.0.0", 9)]));
            assert!(bump.distrusts(&[written("::", 0)]) && bump.distrusts(&[]), "{text}");
        }
    }
}
