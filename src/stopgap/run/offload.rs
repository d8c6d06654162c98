//! Flows that the kernel's program carries by itself: what a worker's engine proposes is entered into the program's table,
//! and taken out again when the flow needs eyes or is over.
//!
//! Each entry bears the number of the rules it was decided under, as the worker had them with its ruleset: a reload makes
//! the program's number another before any worker runs the new rules, so what is entered late under old ones is void. Two
//! or four system calls a flow, after its batch has left, and none where nothing is proposed.

use capture::xdp::layout::{FLOWS_MAX, FlowAction, FlowKey};
use capture::xdp::{Bump, BumpError, FlowTable};
use engine::flow::Carried;
use engine::types::PerDirection;
use engine::worker::{Offload, Porter, Relief};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Flows of one worker that are carried; past it they come up. Each has an entry for each direction.
const FLOWS: usize = FLOWS_MAX / 2;

/// A worker's hold on the table.
pub struct Carriage {
    carried: Arc<Mutex<Flows>>,
    /// That of the rules the worker runs.
    epoch: u64,
}

impl Carriage {
    pub fn new(bump: &Bump) -> Result<Self, BumpError> {
        let flows = Flows { table: bump.flow_table()?, kept: HashMap::new() };
        Ok(Carriage { carried: Arc::new(Mutex::new(flows)), epoch: bump.epoch() })
    }

    /// For the engine, which asks of flows that come back.
    pub fn porter(&self) -> Box<dyn Porter> {
        Box::new(Shoulders(self.carried.clone()))
    }

    /// The worker runs other rules from now on.
    pub const fn renew(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Does as a batch proposed.
    pub fn take(&self, offloads: &[Offload]) {
        if offloads.is_empty() {
            return;
        }
        let mut flows = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        offloads.iter().for_each(|o| flows.keep(o, self.epoch));
    }

    /// Flows that are carried.
    pub fn flows(&self) -> u64 {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).kept.len() as u64
    }
}

/// The engine's end of it.
struct Shoulders(Arc<Mutex<Flows>>);

impl Porter for Shoulders {
    fn release(&mut self, flow_id: u64) -> PerDirection<Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).release(flow_id)
    }
}

struct Flows {
    table: FlowTable,
    /// By their number.
    kept: HashMap<u64, Kept>,
}

/// What is known of a flow's entries.
#[derive(Default)]
struct Kept {
    keys: PerDirection<Option<FlowKey>>,
    /// Of entries that were made anew.
    before: PerDirection<Carried>,
}

impl Flows {
    fn keep(&mut self, o: &Offload, epoch: u64) {
        if self.kept.len() >= FLOWS && !self.kept.contains_key(&o.flow_id) {
            return;
        }
        let t = &o.tuple;
        let ends = ((t.src, t.sport), (t.dst, t.dport));
        let port = u8::try_from(o.port.0).ok();
        let key = port.and_then(|p| FlowKey::new(ends.0, ends.1, t.proto.0, o.vlan.ids(), p));
        let Some(key) = key else { return };
        let (action, until) = match o.relief {
            Relief::Bypass => (FlowAction::Bypass, 0),
            Relief::Drop => (FlowAction::Drop, 0),
            Relief::BypassUntil(seq) => (FlowAction::BypassUntil, seq),
        };
        let kept = self.kept.entry(o.flow_id).or_default();
        if let Some(old) = kept.keys[o.direction].replace(key) {
            count(&mut self.table, &old, &mut kept.before[o.direction]);
        }
        // One that finds no place comes up as before.
        let _ = self.table.keep(&key, action, until, epoch);
    }

    fn release(&mut self, flow_id: u64) -> PerDirection<Carried> {
        let Some(mut kept) = self.kept.remove(&flow_id) else { return PerDirection::default() };
        for (key, carried) in
            [(kept.keys.to_server, &mut kept.before.to_server), (kept.keys.to_client, &mut kept.before.to_client)]
        {
            if let Some(key) = key {
                count(&mut self.table, &key, carried);
            }
        }
        kept.before
    }
}

/// Takes an entry out, and adds what it counted.
fn count(table: &mut FlowTable, key: &FlowKey, to: &mut Carried) {
    if let Some(entry) = table.release(key) {
        to.frames = to.frames.saturating_add(entry.frames);
        to.bytes = to.bytes.saturating_add(entry.bytes);
    }
}
