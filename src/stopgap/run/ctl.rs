//! `stopgap ctl`: one question to a run, one answer.

use super::messages::{self, Answer, Ask};
use crate::cli::{CtlArgs, CtlCommand, Switch};
use crate::console::{DONE, Failure, Outcome, PARTLY, error, note, print};
use serde_json::Value;
use std::fmt::Write;
use std::io::BufReader;
use std::os::unix::net::UnixStream;

pub fn run(args: &CtlArgs) -> Outcome {
    let ask = match &args.command {
        CtlCommand::Status { .. } => Ask::Status,
        CtlCommand::Stats => Ask::Stats,
        CtlCommand::Reload { partial } => Ask::Reload { partial: *partial },
        CtlCommand::Bypass { state, pair } => Ask::Bypass { on: *state == Switch::On, pair: pair.clone() },
        #[cfg(feature = "faults")]
        CtlCommand::Fault { what } => Ask::Fault { what: *what },
    };
    let at = args.control.display();
    let nobody = |e: std::io::Error| Failure(format!("{at}: no run answers there: {e}"));
    let mut stream = UnixStream::connect(&args.control).map_err(nobody)?;
    messages::send(&mut stream, &ask).map_err(nobody)?;
    let answer: Option<Answer> = messages::receive(&mut BufReader::new(stream)).map_err(nobody)?;
    match answer {
        Some(Answer::Done(value)) => {
            match &args.command {
                CtlCommand::Status { json: false } => print(&status(&value))?,
                CtlCommand::Status { json: true } | CtlCommand::Stats => print(&format!("{value}\n"))?,
                _ => print(&format!("{}\n", said(&value)))?,
            }
            Ok(DONE)
        }
        Some(Answer::Failed(why)) => {
            error(&format!("the run refused: {}", why.lines().next().unwrap_or_default()));
            why.lines().skip(1).for_each(note);
            Ok(PARTLY)
        }
        None => Err(Failure(format!("{at}: the run ended before it answered"))),
    }
}

/// The answer in words.
pub fn said(value: &Value) -> String {
    value.get("said").and_then(Value::as_str).unwrap_or("done").to_string()
}

fn status(value: &Value) -> String {
    let mut o = String::new();
    let text = |v: &Value, key: &str| match v.get(key) {
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
        None => "-".into(),
    };
    let _ = writeln!(
        o,
        "stopgap {}, process {}, up {} s",
        text(value, "version"),
        text(value, "pid"),
        text(value, "uptime")
    );
    for lane in value.get("lanes").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(o, "{:<20} {}", text(lane, "name"), text(lane, "state"));
        for key in ["capture", "workers", "confined", "rules", "restarts", "fail", "bypass", "uninspected"] {
            if lane.get(key).is_some() {
                let _ = writeln!(o, "  {key:<18} {}", text(lane, key));
            }
        }
    }
    o
}
