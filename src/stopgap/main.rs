//! The program: command line, wiring, output for people. What it does is in the crates beside it.

mod cli;
mod console;
mod keywords;
mod lists;
mod outputs;
mod replay;
mod rules;
mod ruleset;
mod run;
mod suricata;
mod workers;

use clap::Parser;
use cli::{Command, ConfigCommand, RulesCommand};
use console::Failure;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A fault is caught where it happens and told in words; its own text is for a debugger, not for a terminal.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let cli = cli::Cli::parse();
    let run = AssertUnwindSafe(|| match cli.command {
        Command::Replay(args) => replay::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Ctl(args) => run::ctl::run(&args),
        Command::Detach(args) => run::detach(&args),
        Command::Suricata(args) => suricata::run(&args),
        Command::Config(ConfigCommand::Import(args)) => suricata::import(&args),
        Command::Rules(RulesCommand::Check(args)) => rules::check(&args),
        Command::Rules(RulesCommand::Explain(args)) => rules::explain(&args),
        Command::Keywords(args) => keywords::run(&args),
    });
    console::exit(std::panic::catch_unwind(run).unwrap_or_else(|_| {
        Err(Failure("the program failed; set RUST_BACKTRACE=1 and run it again to see where".into()))
    }))
}
