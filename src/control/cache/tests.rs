use super::*;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A directory of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stopgap-cache-test-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Dir(path)
    }

    fn cache(&self, bytes_max: u64) -> RulesetCache {
        RulesetCache::open(&self.0, "library 1", bytes_max).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700));
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_stored_is_loaded() {
    let dir = Dir::new();
    let mut cache = dir.cache(1 << 20);
    assert_eq!(cache.load(7), None);
    cache.store(7, b"seven");
    cache.store(8, b"");
    assert_eq!(cache.load(7).as_deref(), Some(&b"seven"[..]));
    assert_eq!(dir.cache(1 << 20).load(8).as_deref(), Some(&b""[..]));
    cache.store(7, b"other");
    assert_eq!(cache.load(7).as_deref(), Some(&b"other"[..]));
    assert!(cache.warnings().is_empty());
    for f in dir.files() {
        assert_eq!(f.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", f.display());
        assert!(f.to_str().unwrap().ends_with(SUFFIX), "nothing is left aside: {}", f.display());
    }
}

#[test]
fn another_library_misses() {
    let dir = Dir::new();
    dir.cache(1 << 20).store(7, b"seven");
    let mut other = RulesetCache::open(&dir.0, "library 2", 1 << 20).unwrap();
    assert_eq!(other.load(7), None);
    assert!(other.warnings().is_empty());
}

#[test]
fn every_damage_is_a_miss_with_one_warning() {
    let dir = Dir::new();
    dir.cache(1 << 20).store(7, b"seven");
    let file = dir.files().remove(0);
    let sound = std::fs::read(&file).unwrap();
    let mut cache = dir.cache(1 << 20);
    let mut damages = 0;
    for at in 0..sound.len() {
        let mut bad = sound.clone();
        bad[at] ^= 0x10;
        std::fs::write(&file, &bad).unwrap();
        assert_eq!(cache.load(7), None, "byte {at}");
        damages += 1;
    }
    for length in 0..sound.len() {
        std::fs::write(&file, &sound[..length]).unwrap();
        assert_eq!(cache.load(7), None, "length {length}");
        damages += 1;
    }
    std::fs::write(&file, [&sound[..], b"\0"].concat()).unwrap();
    assert_eq!(cache.load(7), None);
    assert_eq!(cache.rejected(), damages + 1);
    assert_eq!(cache.warnings().len(), 1);
    assert!(cache.warnings()[0].contains(file.to_str().unwrap()), "{:?}", cache.warnings());
    // Rebuilt, it serves again.
    cache.store(7, b"seven");
    assert_eq!(cache.load(7).as_deref(), Some(&b"seven"[..]));
}

#[test]
fn a_file_under_another_name_is_broken() {
    let dir = Dir::new();
    let mut cache = dir.cache(1 << 20);
    cache.store(7, b"seven");
    cache.store(8, b"eight");
    let files = dir.files();
    std::fs::copy(&files[0], &files[1]).unwrap();
    let served = [cache.load(7), cache.load(8)];
    assert_eq!(served.iter().flatten().count(), 1);
    assert!(served[0].as_deref().is_none_or(|c| c == b"seven"));
    assert!(served[1].as_deref().is_none_or(|c| c == b"eight"));
}

#[test]
fn foreign_or_open_files_are_refused() {
    for mode in [0o644, 0o660, 0o606, 0o700, 0o400] {
        let dir = Dir::new();
        let mut cache = dir.cache(1 << 20);
        cache.store(7, b"seven");
        let file = dir.files().remove(0);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(cache.load(7), None, "{mode:o}");
        assert_eq!(cache.warnings().len(), 1);
    }
    let dir = Dir::new();
    let mut cache = dir.cache(1 << 20);
    cache.store(7, b"seven");
    let file = dir.files().remove(0);
    let aside = dir.0.join("real");
    std::fs::rename(&file, &aside).unwrap();
    symlink(&aside, &file).unwrap();
    assert_eq!(cache.load(7), None, "a link is not followed");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(cache.load(7), None, "a directory is no file");
    assert_eq!(cache.warnings().len(), 1);
}

/// Only root can make files of someone else's.
#[test]
fn another_users_file_is_refused() {
    if own_uid() != 0 {
        eprintln!("skipped: not root");
        return;
    }
    let dir = Dir::new();
    let mut cache = dir.cache(1 << 20);
    cache.store(7, b"seven");
    std::os::unix::fs::chown(dir.files().remove(0), Some(65_534), None).unwrap();
    assert_eq!(cache.load(7), None);
    assert!(cache.warnings()[0].contains("another user"));
    std::os::unix::fs::chown(&dir.0, Some(65_534), None).unwrap();
    assert!(matches!(RulesetCache::open(&dir.0, "l", 1), Err(Error::Refused { .. })));
    std::os::unix::fs::chown(&dir.0, Some(0), None).unwrap();
}

#[test]
fn a_directory_others_may_write_to_is_refused() {
    let dir = Dir::new();
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(RulesetCache::open(&dir.0, "l", 1), Err(Error::Refused { .. })));
    let file = dir.0.join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(RulesetCache::open(&file, "l", 1), Err(Error::Io { .. })));
}

#[test]
fn the_sum_is_bounded_and_the_oldest_goes() {
    let dir = Dir::new();
    let one = (HEADER + 100) as u64;
    let mut cache = dir.cache(3 * one);
    for key in 0..3 {
        cache.store(key, &[1; 100]);
        let path = dir.0.join(cache.name(key));
        let age = Duration::from_secs(1_000 - key as u64);
        File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }
    assert!(cache.load(0).is_some(), "used, so now the youngest");
    cache.store(3, &[1; 100]);
    assert!(cache.load(1).is_none(), "the oldest went");
    assert!(cache.load(0).is_some() && cache.load(2).is_some() && cache.load(3).is_some());
    cache.store(4, &vec![1; 3 * one as usize]);
    assert!(cache.load(4).is_none(), "larger than the bound is not kept");
    for key in 10..30 {
        cache.store(key, &[1; 100]);
        let sum: u64 = dir.files().iter().map(|f| f.metadata().unwrap().len()).sum();
        assert!(sum <= 3 * one);
    }
    // A smaller bound holds from the start; what a killed run left aside counts and goes.
    std::fs::write(dir.0.join(format!("x{ASIDE}")), [0; 5_000]).unwrap();
    drop(dir.cache(one));
    assert!(dir.files().len() <= 1);
}

#[test]
fn a_directory_that_vanishes_is_one_warning() {
    let dir = Dir::new();
    let mut cache = dir.cache(1 << 20);
    std::fs::remove_dir_all(&dir.0).unwrap();
    cache.store(1, b"one");
    cache.store(2, b"two");
    assert_eq!(cache.load(1), None);
    assert_eq!(cache.warnings().len(), 1);
    assert!(cache.warnings()[0].contains("not kept"));
}
