//! A live run: `stopgap run`, and what speaks to it.
//!
//! The supervisor ([`supervisor`]) puts the program into the kernel, keeps the control socket, and starts a data plane
//! ([`plane`]) for each lane, which it kills and starts anew when it does not answer. It never sees a packet; the wire is
//! the kernel's while no data plane answers.

mod confined;
mod control;
mod crew;
pub mod ctl;
mod devices;
#[cfg(feature = "faults")]
pub mod fault;
mod heart;
mod lane;
mod load;
mod memory;
mod messages;
mod offload;
pub mod plan;
mod plane;
mod record;
mod sight;
mod supervisor;
mod worker;
mod writer;

use crate::cli::{DetachArgs, RunArgs};
use crate::console::{DONE, Failure, Outcome, note};
use capture::xdp::Bump;
use plan::Plan;

pub fn run(args: &RunArgs) -> Outcome {
    let plan = Plan::of(args)?;
    match args.data_plane {
        None => supervisor::run(&plan),
        Some(lane) => {
            let stdin = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
            plane::run(&plan, lane, stdin.into())
        }
    }
}

pub fn detach(args: &DetachArgs) -> Outcome {
    let mut any = false;
    for name in [&args.pair.0, &args.pair.1] {
        any |= Bump::take_off(&devices::port(name)?.port())?;
    }
    if !any {
        return Err(Failure(format!("{}:{}: there was no program on either port", args.pair.0, args.pair.1)));
    }
    note(&format!("{}:{}: detached; nothing is forwarded between the two any more", args.pair.0, args.pair.1));
    Ok(DONE)
}
