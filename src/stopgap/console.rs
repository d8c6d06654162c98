//! What the program says: to standard output what was asked for, to standard error what happened.
//!
//! A reader that goes away (`| head`) ends the program quietly; nothing here panics on a closed or full output.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// All done.
pub const DONE: u8 = 0;
/// Done, but some input or rule was refused or cut short.
pub const PARTLY: u8 = 1;
/// Nothing done.
pub const NOTHING: u8 = 2;

/// Ends a command that could do nothing.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure(e.to_string())
    }
}

/// What a command comes to.
pub type Outcome = Result<u8, Failure>;

/// Writes text to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever read has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(DONE.into()),
        Err(e) => Err(Failure(format!("standard output: cannot write: {e}"))),
    }
}

/// Writes a line to standard error; there is no one to tell if that fails.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A line that begins with a coloured word.
fn marked(word: &str, style: owo_colors::Style, text: &str) {
    use owo_colors::OwoColorize;
    note(&format!("{}: {text}", word.style(style)));
}

pub fn error(text: &str) {
    marked("error", owo_colors::Style::new().red().bold(), text);
}

pub fn warning(text: &str) {
    marked("warning", owo_colors::Style::new().yellow().bold(), text);
}

/// Whether a person looks at standard error.
pub fn attended() -> bool {
    io::stderr().is_terminal()
}

/// The program's exit code.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Failure(text)) => {
            error(&text);
            ExitCode::from(NOTHING)
        }
    }
}
