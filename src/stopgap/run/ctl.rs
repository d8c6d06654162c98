//! `stopgap ctl`: one question to a run, one answer.

use super::messages::{self, Answer, Ask};
use crate::cli::{CtlArgs, CtlCommand, Switch};
use crate::console::{DONE, Failure, Outcome, PARTLY, error, note, print};
use serde_json::Value;
use std::fmt::Write;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Where runs have their control sockets: one that is alone, and in folders of their own those of the service.
const RUNS: &str = "/run/stopgap";

pub fn run(args: &CtlArgs) -> Outcome {
    let ask = match &args.command {
        CtlCommand::Status { .. } => Ask::Status,
        CtlCommand::Stats => Ask::Stats,
        CtlCommand::Reload { partial } => Ask::Reload { partial: *partial },
        CtlCommand::Bypass { state, pair } => Ask::Bypass { on: *state == Switch::On, pair: pair.clone() },
        #[cfg(feature = "faults")]
        CtlCommand::Fault { what } => Ask::Fault { what: *what },
    };
    let control = args.control.clone().map_or_else(|| socket(Path::new(RUNS)), Ok)?;
    let at = control.display();
    let nobody = |e: std::io::Error| Failure(format!("{at}: no run answers there: {e}"));
    let mut stream = UnixStream::connect(&control).map_err(nobody)?;
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

/// The socket of the run that is meant where none is named.
fn socket(runs: &Path) -> Result<PathBuf, Failure> {
    let alone = runs.join("control.sock");
    if alone.exists() {
        return Ok(alone);
    }
    let folders = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = folders.map(|f| f.path().join("control.sock")).filter(|s| s.exists()).collect();
    all.sort();
    match all.as_slice() {
        [] => Ok(alone),
        [one] => Ok(one.clone()),
        many => {
            let many: Vec<String> = many.iter().map(|s| s.display().to_string()).collect();
            Err(Failure(format!("there are several runs; say which by --control: {}", many.join(", "))))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_run_is_meant() {
        let dir = std::env::temp_dir().join(format!("stopgap-ctl-{}", std::process::id()));
        let put = |name: &str| {
            let at = dir.join(name);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(&at, "").unwrap();
            at
        };
        assert_eq!(socket(&dir).ok(), Some(dir.join("control.sock")), "none at all");
        let gateway = put("gateway/control.sock");
        assert_eq!(socket(&dir).ok(), Some(gateway));
        put("tap/control.sock");
        let Err(Failure(why)) = socket(&dir) else { panic!("two are one") };
        assert!(why.contains("gateway/control.sock, ") && why.contains("--control"), "{why}");
        let alone = put("control.sock");
        assert_eq!(socket(&dir).ok(), Some(alone));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
