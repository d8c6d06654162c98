//! What a data plane opens: the ports' devices, one for each worker, and the kernel's program beside them.

use super::plan::{Lane, Plan};
use crate::console::Failure;
use capture::Live;
use capture::xdp::{self, Bump, Opening, Port};
use std::sync::Arc;

pub struct Opened {
    pub devices: Vec<Box<dyn Live>>,
    pub bump: Option<Arc<Bump>>,
    /// How frames come in, in words.
    pub capture: String,
}

/// The port by its name.
pub fn port(name: &str) -> Result<(Port, usize), Failure> {
    let (ifindex, mtu) = capture::interface(name).map_err(|e| Failure(format!("{name}: {e}")))?;
    Ok((Port { name: name.into(), ifindex }, mtu))
}

/// Bytes in front of what the MTU counts: the Ethernet header and two tags.
const LINK_BYTES: usize = 14 + 8;

pub fn open(plan: &Plan<'_>, lane: &Lane) -> Result<Opened, Failure> {
    match lane {
        Lane::Pair(a, b) => pair(plan, a, b),
        Lane::Taps(_) => Err(Failure("mirror ports: not yet".into())),
    }
}

fn pair(plan: &Plan<'_>, a: &str, b: &str) -> Result<Opened, Failure> {
    let ((a, mtu), (b, _)) = (port(a)?, port(b)?);
    let ports = [a, b];
    let mut bump =
        Bump::find(ports.clone())?.ok_or_else(|| Failure("the kernel's program is not on the ports".into()))?;
    let run = &plan.config.run;
    let opening = Opening {
        ifindex: [ports[0].ifindex, ports[1].ifindex],
        frame_max: mtu + LINK_BYTES,
        queues: 1,
        workers: usize::from(plan.args.jobs.unwrap_or(1)),
        ring: run.ring,
        copy: run.copy,
        busy_poll_us: run.busy_poll_us,
    };
    let devices = xdp::open(&opening)?;
    let workers = devices.len();
    for (n, d) in devices.iter().enumerate() {
        for (queue, port, socket) in d.descriptors(n, workers) {
            bump.serve(queue, port, socket)?;
        }
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
