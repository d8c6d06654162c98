//! Conventions that a test can hold: layering, file length, module headers, unsafe in its three rooms, no unfinished words.

use std::path::{Path, PathBuf};

/// Lines of a source file before its tests.
const FILE_LINES_MAX: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                sources(&path, out);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Every source file of a folder, as its path from the root and its lines.
fn files(folder: &str) -> Vec<(String, Vec<String>)> {
    let root = root();
    let mut paths = Vec::new();
    sources(&root.join(folder), &mut paths);
    paths.sort();
    let read = |p: PathBuf| {
        let lines = std::fs::read_to_string(&p).unwrap().lines().map(str::to_owned).collect();
        (p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), lines)
    };
    paths.into_iter().map(read).collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// The lines before the file's own tests.
fn code(lines: &[String]) -> &[String] {
    let end = lines.iter().position(|l| l.trim() == "#[cfg(test)]").unwrap_or(lines.len());
    &lines[..end]
}

fn fail_on(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_are_not_too_long() {
    let long = |(p, l): &(String, Vec<String>)| !is_test(p) && code(l).len() > FILE_LINES_MAX;
    fail_on(files("src").iter().filter(|f| long(f)).map(|(p, l)| format!("{p}: {} lines", code(l).len())).collect());
}

#[test]
fn every_file_begins_with_what_it_is() {
    let bare = |(p, l): &(String, Vec<String>)| !is_test(p) && !l.first().is_some_and(|l| l.starts_with("//!"));
    fail_on(files("src").into_iter().filter(bare).map(|(p, _)| p).collect());
}

/// The rooms of the engine, each allowed to use those before it.
const LAYERS: [&str; 10] =
    ["types", "wire", "decode", "flow", "stream", "applayer", "detect", "proto", "session", "worker"];

#[test]
fn engine_rooms_import_downward() {
    let mut wrong = Vec::new();
    for (path, lines) in files("src/engine") {
        let room = path.trim_start_matches("src/engine/").split(['/', '.']).next().unwrap().to_owned();
        for (n, line) in code(&lines).iter().enumerate() {
            let code = line.split("//").next().unwrap();
            for (at, _) in code.match_indices("crate::") {
                let used: String = code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !allowed(&room, &used) {
                    wrong.push(format!("{path}:{}: {room} may not use {used}", n + 1));
                }
            }
        }
    }
    fail_on(wrong);
}

fn allowed(room: &str, used: &str) -> bool {
    let place = |r: &str| LAYERS.iter().position(|l| *l == r);
    match (room, used) {
        _ if room == used || room == "lib" || room == "worker" => true,
        // A protocol's settings pass through the vocabulary that protocols hand down.
        ("applayer", "proto") => true,
        ("action" | "record", "types" | "flow" | "wire" | "decode" | "applayer") => true,
        _ => matches!((place(room), place(used)), (Some(r), Some(u)) if u < r),
    }
}

#[test]
fn only_the_registry_names_protocols() {
    let protocols: Vec<String> = std::fs::read_dir(root().join("src/engine/proto"))
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    assert!(protocols.len() >= 3);
    let mut wrong = Vec::new();
    for (path, lines) in files("src") {
        let inside = protocols.iter().any(|p| path.starts_with(&format!("src/engine/proto/{p}")));
        if inside || path.ends_with("proto/registry.rs") || path.ends_with("proto/mod.rs") {
            continue;
        }
        for (n, line) in code(&lines).iter().enumerate() {
            if protocols.iter().any(|p| line.contains(&format!("proto::{p}::"))) {
                wrong.push(format!("{path}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    // Configuration maps a person's words to each protocol's settings.
    wrong.retain(|w| !w.starts_with("src/control/config"));
    fail_on(wrong);
}

#[test]
fn unsafe_keeps_to_its_rooms() {
    let rooms = ["src/capture/sys", "src/matcher/sys", "src/accel"];
    let mut wrong = Vec::new();
    for (path, lines) in files("src") {
        if rooms.iter().any(|r| path.starts_with(r)) {
            continue;
        }
        for (n, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            if ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|w| code.contains(w)) {
                wrong.push(format!("{path}:{}", n + 1));
            }
        }
    }
    fail_on(wrong);
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["TO\u{44}O", "FIX\u{4d}E", "X\u{58}X", "HA\u{43}K"];
    let mut wrong = Vec::new();
    for (path, lines) in ["src", "tests", "bench"].iter().flat_map(|f| files(f)) {
        for (n, line) in lines.iter().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, c)| c);
            let word = |w: &str| comment.split(|c: char| !c.is_alphanumeric()).any(|x| x == w);
            if words.iter().any(|w| word(w)) {
                wrong.push(format!("{path}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    fail_on(wrong);
}
