//! What a data plane opens: the ports' devices, one for each worker, and the kernel's program beside them.

use super::plan::{Lane, Plan};
use crate::console::Failure;
use capture::Live;
use capture::ports::Facts;
use capture::xdp::layout::QUEUES_MAX;
use capture::xdp::{self, Bump, Opening, XdpDevice};
use std::sync::Arc;

pub struct Opened {
    pub devices: Vec<Box<dyn Live>>,
    pub bump: Option<Arc<Bump>>,
    /// How frames come in, in words.
    pub capture: String,
}

/// The port by its name.
pub fn port(name: &str) -> Result<Facts, Failure> {
    Facts::of(name).map_err(|e| Failure(format!("{name}: {e}")))
}

/// Bytes in front of what the MTU counts: the Ethernet header and two tags.
const LINK_BYTES: usize = 14 + 8;

pub fn open(plan: &Plan<'_>, lane: &Lane) -> Result<Opened, Failure> {
    match lane {
        Lane::Pair(a, b) => pair(plan, a, b),
        Lane::Taps(_) => Err(Failure("mirror ports: not yet".into())),
    }
}

/// Receive queues of each port. A queue that only one has would bring frames that nobody takes.
fn queues(a: &Facts, b: &Facts) -> Result<usize, Failure> {
    let (n, more) = if a.rx_queues > b.rx_queues { (b.rx_queues, &a.name) } else { (a.rx_queues, &b.name) };
    if a.rx_queues != b.rx_queues {
        return Err(Failure(format!(
            "the ports have {} and {} receive queues; give them equally many: `ethtool -L {more} combined {n}`",
            a.rx_queues, b.rx_queues
        )));
    }
    if n as usize > QUEUES_MAX {
        return Err(Failure(format!(
            "{n} receive queues are more than {QUEUES_MAX}: `ethtool -L PORT combined {QUEUES_MAX}`"
        )));
    }
    Ok(n as usize)
}

/// Workers of a pair: as wished, else as many as there are cores; each has a queue at least.
fn workers(plan: &Plan<'_>, queues: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    plan.args.jobs.map_or_else(cores, usize::from).min(queues)
}

fn pair(plan: &Plan<'_>, a: &str, b: &str) -> Result<Opened, Failure> {
    let (a, b) = (port(a)?, port(b)?);
    let queues = queues(&a, &b)?;
    let ports = [a.port(), b.port()];
    let mut bump = Bump::find(ports)?.ok_or_else(|| Failure("the kernel's program is not on the ports".into()))?;
    let run = &plan.config.run;
    let opening = Opening {
        ifindex: [a.ifindex, b.ifindex],
        frame_max: a.mtu as usize + LINK_BYTES,
        queues,
        workers: workers(plan, queues),
        ring: run.ring,
        copy: run.copy,
        busy_poll_us: run.busy_poll_us,
    };
    let devices = xdp::open(&opening)?;
    bump.divide(devices.len());
    for (queue, port, socket) in devices.iter().flat_map(XdpDevice::descriptors) {
        bump.serve(queue, port, socket)?;
    }
    let zero_copy = devices.iter().all(|d| d.zero_copy());
    let mode = match bump.mode() {
        xdp::XdpMode::Native => "native",
        xdp::XdpMode::Generic => "generic",
    };
    let capture = format!("AF_XDP, {mode} XDP{}", if zero_copy { ", zero-copy" } else { "" });
    let devices = devices.into_iter().map(|d| Box::new(d) as Box<dyn Live>).collect();
    Ok(Opened { devices, bump: Some(Arc::new(bump)), capture })
}
