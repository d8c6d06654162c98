//! Measures parity of inline verdicts over the shared captures and lists the flows that were judged differently.
//!
//! `verdicts [--show N]`; `STOPGAP_DATA` names the data, `STOPGAP_BIN` the program.

use harness::parity::oracle;
use harness::verdicts::{Difference, Dropped, compare, measure, recorded};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("verdicts: {e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let show = args.iter().position(|a| a == "--show").and_then(|i| args.get(i + 1)).and_then(|v| v.parse().ok());
    let missing = |what: &str| std::io::Error::other(format!("{what} is not set or names nothing"));
    let data = harness::data().ok_or_else(|| missing("STOPGAP_DATA"))?;
    let program = harness::program().ok_or_else(|| missing("STOPGAP_BIN"))?;
    // A capture without an alert was not recorded.
    let captures: BTreeSet<String> = oracle(&data)?.into_iter().map(|r| r.capture).collect();
    let expected = recorded(&data)?;
    let out = std::env::temp_dir().join(format!("stopgap-verdicts-{}", std::process::id()));
    let got = measure(&program, &data, &captures.into_iter().collect::<Vec<_>>(), &out);
    let _ = std::fs::remove_dir_all(&out);
    let v = compare(&data, &expected, &got?)?;
    let text = |d: &Option<Dropped>| match d {
        None => "-".to_owned(),
        Some(d) => format!("{} {} {:?} x{}", d.first, d.reason, d.sids, d.packets),
    };
    for (what, name, theirs, ours) in v.differences.iter().take(show.unwrap_or(60)) {
        let [a, b] = &name.ends;
        let ends = format!("{} {}:{} {}:{}", name.proto, a.0, a.1, b.0, b.1);
        println!("{what:?} {} {ends} recorded {} here {}", name.capture, text(theirs), text(ours));
    }
    let mut kinds: BTreeMap<Difference, usize> = BTreeMap::new();
    v.differences.iter().for_each(|d| *kinds.entry(d.0).or_default() += 1);
    let share = 100.0 * v.share();
    println!("flows {} agree {} ({share:.2} %), {} from the same packet", v.flows, v.agreed, v.same_packet);
    println!("differ {kinds:?}; {} flows of other protocols set apart", v.apart);
    Ok(())
}
