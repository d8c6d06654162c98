//! Compiles the XDP program with clang and puts it where the crate includes it from.

use std::path::Path;
use std::process::Command;

const SOURCE: &str = "xdp/bump.bpf.c";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=CLANG");
    let out = Path::new(&std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bump.bpf.o");
    let chosen = std::env::var("CLANG").ok();
    let names: Vec<String> = match chosen {
        Some(name) => vec![name],
        None => ["clang", "clang-19", "clang-16", "clang-15", "clang-14"].map(String::from).to_vec(),
    };
    let runs = |name: &&String| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    let Some(clang) = names.iter().find(runs) else {
        panic!("clang is needed to compile the XDP program (Debian: apt-get install clang libbpf-dev linux-libc-dev)");
    };
    let mut command = Command::new(clang);
    command.args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-c", SOURCE, "-o"]).arg(&out);
    // Debian keeps the machine's headers below a folder of its own.
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let headers = format!("/usr/include/{arch}-linux-gnu");
    if Path::new(&headers).is_dir() {
        command.arg(format!("-I{headers}"));
    }
    let done = command.status().expect("clang ran a moment ago");
    assert!(done.success(), "clang could not compile {SOURCE}; are libbpf-dev and linux-libc-dev installed?");
}
