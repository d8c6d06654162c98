//! Benchmarks: every promised number and the command that measures it (see SPEC.md).

mod literals;
mod report;

fn main() {
    let data = std::env::var_os("STOPGAP_DATA").expect("STOPGAP_DATA");
    literals::run(std::path::Path::new(&data)).unwrap().print();
}
