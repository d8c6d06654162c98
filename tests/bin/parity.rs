//! Measures alert parity over the shared captures and lists the differences by rule.
//!
//! `parity [--inline] [--show N] [--sid N]`; `STOPGAP_DATA` names the data, `STOPGAP_BIN` the program.

use harness::parity::{Row, compare, measure, oracle, recorded_captures};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("parity: {e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).and_then(|v| v.parse::<u32>().ok())
    };
    let missing = |what: &str| std::io::Error::other(format!("{what} is not set or names nothing"));
    let data = harness::data().ok_or_else(|| missing("STOPGAP_DATA"))?;
    let program = harness::program().ok_or_else(|| missing("STOPGAP_BIN"))?;
    let expected = oracle(&data)?;
    let files = recorded_captures(&data)?;
    let out = std::env::temp_dir().join(format!("stopgap-parity-{}", std::process::id()));
    let extra: &[&str] = if args.iter().any(|a| a == "--inline") { &["--inline"] } else { &[] };
    let got = measure(&program, &data, &files, extra, &out);
    let _ = std::fs::remove_dir_all(&out);
    let got = got?;
    let p = compare(&expected, &got);
    if let Some(sid) = number("--sid") {
        let of = |r: &&Row| r.sid == sid;
        expected.difference(&got).filter(of).for_each(|r| println!("missed {r:?}"));
        got.difference(&expected).filter(of).for_each(|r| println!("extra  {r:?}"));
    } else {
        let mut rows: Vec<_> = p.by_sid.iter().collect();
        rows.sort_by_key(|(sid, (missed, extra, _))| (std::cmp::Reverse(missed + extra), **sid));
        for (sid, (missed, extra, r)) in rows.iter().take(number("--show").unwrap_or(40) as usize) {
            println!(
                "sid {sid:<8} missed {missed:<5} extra {extra:<5} {} {}:{} -> {}:{}",
                r.capture, r.src, r.sport, r.dst, r.dport
            );
        }
        println!("rules that differ: {}", p.by_sid.len());
    }
    println!(
        "rows  expected {} found {} ({:.2} %) extra {} ({:.2} %)",
        p.expected,
        p.found,
        100.0 * p.found_share(),
        p.extra,
        100.0 * p.extra_share()
    );
    println!("pairs {} mean found {:.2} %", p.pairs, 100.0 * p.pairs_mean);
    Ok(())
}
