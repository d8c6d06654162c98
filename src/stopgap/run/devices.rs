//! What a data plane opens: the ports' devices, one for each worker, and the kernel's program beside them.

use super::lane::links;
use super::plan::{Lane, Plan};
use crate::console::Failure;
use ::control::config::run::{CaptureKind, Fail, Run, XdpWish};
use capture::ports::{self, Facts};
use capture::xdp::layout::QUEUES_MAX;
use capture::xdp::{self, Bump, XdpDevice, XdpMode};
use capture::{Live, l2, packet, queue};
use std::sync::Arc;

pub struct Opened {
    pub devices: Devices,
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
        Lane::Taps(ports) => taps(plan, ports),
        Lane::Queues(queues) => {
            let fail_open = plan.config.run.fail == Fail::Open;
            let devices = boxed(queue::open(queues.clone(), plan.config.run.ring, fail_open)?);
            Ok(Opened { devices, bump: None, capture: "NFQUEUE".into() })
        }
    }
}

/// Bytes of a mirror port's ring for each frame that is to find room, as long frames are.
const TAP_FRAME_BYTES: usize = 4096;

fn taps(plan: &Plan<'_>, ports: &[String]) -> Result<Opened, Failure> {
    let devices = packet::watch(&packet::Watching {
        ports,
        workers: plan.args.jobs.map_or_else(cores, usize::from),
        ring_bytes: plan.config.run.ring as usize * TAP_FRAME_BYTES,
        filter: plan.args.filter.as_deref(),
    })?;
    Ok(Opened { devices: boxed(devices), bump: None, capture: "AF_PACKET, watching".into() })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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

/// Frames that may wait for a worker: three quarters of its ring.
pub const fn ring_limit(run: &Run) -> u32 {
    run.ring / 4 * 3
}

/// Workers of a pair: as wished, else as many as there are cores; each has a queue at least.
fn workers(plan: &Plan<'_>, queues: usize) -> usize {
    plan.args.jobs.map_or_else(cores, usize::from).min(queues)
}

fn pair(plan: &Plan<'_>, a: &str, b: &str) -> Result<Opened, Failure> {
    let (a, b) = (port(a)?, port(b)?);
    let run = &plan.config.run;
    if run.xdp == XdpWish::Off {
        let capture = "AF_PACKET, no program in the kernel".into();
        return Ok(Opened { devices: by_packets(run, &a, &b, None)?, bump: None, capture });
    }
    let ports = [a.port(), b.port()];
    let mut bump = Bump::find(ports)?.ok_or_else(|| Failure("the kernel's program is not on the ports".into()))?;
    // It may have been read anew since the supervisor put the program there.
    bump.patience(run.stale, ring_limit(run));
    let mode = match bump.mode() {
        XdpMode::Native => "native XDP",
        XdpMode::Generic => "generic XDP",
    };
    let mut why = String::new();
    if run.capture != CaptureKind::AfPacket {
        match by_xdp(plan, &a, &b, &mut bump) {
            Ok((devices, how)) => {
                bump.to_stack(false);
                return Ok(Opened { devices, bump: Some(Arc::new(bump)), capture: format!("AF_XDP, {mode}{how}") });
            }
            Err(e) if run.capture == CaptureKind::AfXdp => return Err(e),
            Err(Failure(e)) => why = format!("; no AF_XDP: {e}"),
        }
    }
    let devices = by_packets(run, &a, &b, Some(&bump))?;
    bump.divide(devices.len());
    bump.to_stack(true);
    Ok(Opened { devices, bump: Some(Arc::new(bump)), capture: format!("AF_PACKET behind {mode}{why}") })
}

type Devices = Vec<Box<dyn Live>>;

fn boxed<D: Live + 'static>(devices: Vec<D>) -> Devices {
    devices.into_iter().map(|d| Box::new(d) as Box<dyn Live>).collect()
}

/// AF_XDP sockets, in the program's table; what is to be said of them.
fn by_xdp(plan: &Plan<'_>, a: &Facts, b: &Facts, bump: &mut Bump) -> Result<(Devices, &'static str), Failure> {
    let run = &plan.config.run;
    let queues = queues(a, b)?;
    let opening = xdp::Opening {
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
    Ok((boxed(devices), if zero_copy { ", zero-copy" } else { "" }))
}

/// Packet sockets, behind the program if there is one.
fn by_packets(run: &Run, a: &Facts, b: &Facts, bump: Option<&Bump>) -> Result<Devices, Failure> {
    for f in [a, b] {
        // Behind a program in a driver's receive path frames would be joined. A virtual port's delivers nothing without.
        if bump.is_some_and(|b| b.mode() == XdpMode::Native) && f.driver.as_deref() != Some("veth") {
            let wishes = ports::Wishes { gro_off: true, silent: true };
            ports::prepare(&f.name, &wishes).map_err(|e| Failure(format!("{}: cannot be prepared: {e}", f.name)))?;
        }
    }
    let opening = packet::Opening {
        ifindex: [a.ifindex, b.ifindex],
        frame_max: a.mtu as usize + LINK_BYTES,
        workers: 1,
        ring: run.ring,
        spread: packet::Spread::Queue,
        policy: bump.is_none().then(|| l2::Policy(links(run))),
    };
    Ok(boxed(packet::open(&opening)?))
}
