//! Finds libhs where the feature `hyperscan` asks for it and the processor is one Hyperscan runs on (x86-64), and sets
//! the cfg `hyperscan_lib`, by which the crate compiles its binding. Nothing is downloaded or built here.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(hyperscan_lib)");
    let wanted = std::env::var_os("CARGO_FEATURE_HYPERSCAN").is_some();
    let supported = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|a| a == "x86_64");
    if !(wanted && supported) {
        return;
    }
    match pkg_config::Config::new().atleast_version("5.1").probe("libhs") {
        Ok(_) => println!("cargo::rustc-cfg=hyperscan_lib"),
        Err(e) => {
            println!("cargo::error=libhs (Hyperscan 5.1 or later) was not found: {}", e.to_string().replace('\n', " "));
            println!(
                "cargo::error=install it (Debian: `apt install libhyperscan-dev pkg-config`) or build with --no-default-features"
            );
        }
    }
}
