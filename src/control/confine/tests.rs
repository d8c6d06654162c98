use super::*;
use std::io::ErrorKind;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const INSIDE: &str = "STOPGAP_TEST_CONFINED";

/// Runs a test of this binary again, alone, in a process that it may confine.
fn child(test: &str, dir: &Path) -> Output {
    let name = format!("confine::tests::{test}");
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, dir)
        .output()
        .unwrap()
}

fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// A folder with rules and a log, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = std::env::temp_dir().join(format!("stopgap-confine-{name}-{}", std::process::id()));
        for sub in ["rules", "log", "other"] {
            std::fs::create_dir_all(dir.join(sub)).unwrap();
        }
        std::fs::write(dir.join("rules/local.rules"), "old").unwrap();
        std::fs::write(dir.join("other/secret"), "secret").unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn keep(dir: &Path) -> Keep {
    Keep { write: vec![dir.join("log")], read: vec![dir.join("rules/local.rules")], ..Keep::default() }
}

fn refused<T: fmt::Debug>(what: std::io::Result<T>) -> ErrorKind {
    what.expect_err("must be refused").kind()
}

#[test]
fn what_works_and_what_does_not() {
    let Some(dir) = inside() else {
        let folder = Folder::new("works");
        let done = child("what_works_and_what_does_not", &folder.0);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    let parent = rustix::process::getppid().unwrap();
    let mut early = std::fs::File::create(dir.join("log/early")).unwrap();
    let done = confine(&keep(&dir)).unwrap();
    println!("{done}");
    assert_eq!(done.capabilities, []);

    // Logs and rules, also a rule file that another has taken the place of.
    early.write_all(b"still open").unwrap();
    early.sync_all().unwrap();
    let rules = dir.join("rules/local.rules");
    assert_eq!(std::fs::read(&rules).unwrap(), b"old");
    std::fs::create_dir_all(dir.join("log/store/aa")).unwrap();
    std::fs::write(dir.join("log/eve.json.tmp"), "{}").unwrap();
    std::fs::rename(dir.join("log/eve.json.tmp"), dir.join("log/store/aa/eve.json")).unwrap();
    std::fs::remove_file(dir.join("log/store/aa/eve.json")).unwrap();
    assert_eq!(std::fs::read_dir(dir.join("rules")).unwrap().count(), 1);
    assert_eq!(rules.canonicalize().unwrap(), rules);

    // Threads, time, memory, random numbers.
    let handle = std::thread::Builder::new().name("late".into()).spawn(|| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        vec![1u8; 64 << 20].len()
    });
    assert_eq!(handle.unwrap().join().unwrap(), 64 << 20);
    let (sent, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || sent.send(1));
    assert_eq!(received.recv_timeout(std::time::Duration::from_secs(5)), Ok(1));

    // Nothing goes out, nothing is started, nobody is touched.
    assert_eq!(refused(std::net::UdpSocket::bind("127.0.0.1:0")), ErrorKind::PermissionDenied);
    assert_eq!(refused(std::os::unix::net::UnixStream::pair()), ErrorKind::PermissionDenied);
    assert_eq!(refused(Command::new("/bin/true").status()), ErrorKind::PermissionDenied);
    assert_eq!(refused(std::os::unix::fs::symlink("/etc", dir.join("log/etc"))), ErrorKind::PermissionDenied);
    assert!(rustix::process::test_kill_process(parent).is_err());
    if done.files == Files::Confined {
        for path in ["/etc/shadow", "/etc/passwd", "/proc/self/mem"] {
            assert_eq!(refused(std::fs::File::open(path)), ErrorKind::PermissionDenied, "{path}");
        }
        assert_eq!(refused(std::fs::read(dir.join("other/secret"))), ErrorKind::PermissionDenied);
        assert_eq!(refused(std::fs::write(&rules, "new")), ErrorKind::PermissionDenied);
    } else {
        println!("skipped: files, as this kernel has no landlock");
    }
}

#[test]
fn a_kill_where_one_is_wanted() {
    let Some(dir) = inside() else {
        let folder = Folder::new("kill");
        let done = child("a_kill_where_one_is_wanted", &folder.0);
        assert_eq!(done.status.signal(), Some(libc::SIGSYS), "{done:?}");
        return;
    };
    confine(&Keep { kill: true, ..keep(&dir) }).unwrap();
    let _ = std::net::UdpSocket::bind("127.0.0.1:0");
}

#[test]
fn no_way_back() {
    let Some(dir) = inside() else {
        let folder = Folder::new("back");
        let done = child("no_way_back", &folder.0);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    let mut k = keep(&dir);
    k.read.push("/proc".into());
    k.capabilities.push(Capability::CAP_DAC_OVERRIDE);
    let had = caps::has_cap(None, CapSet::Permitted, Capability::CAP_DAC_OVERRIDE).unwrap();
    let done = confine(&k).unwrap();
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let of = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((of("NoNewPrivs:"), of("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(done.capabilities.len(), usize::from(had));
    let effective = u64::from_str_radix(&of("CapEff:"), 16).unwrap();
    let bounding = u64::from_str_radix(&of("CapBnd:"), 16).unwrap();
    if had {
        assert_eq!((effective, bounding), (1 << 1, 1 << 1), "CAP_DAC_OVERRIDE");
    } else {
        assert_eq!(effective, 0);
    }
}

#[test]
fn every_call_is_there_once_and_the_dangerous_are_not() {
    let rows = syscalls::table(1);
    let numbers: HashSet<libc::c_long> = rows.iter().map(|r| r.number).collect();
    assert_eq!(numbers.len(), rows.len());
    for never in [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_setuid,
        libc::SYS_capset,
        libc::SYS_kill,
        libc::SYS_init_module,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_memfd_create,
        libc::SYS_setsockopt,
    ] {
        assert!(!numbers.contains(&never), "{never}");
    }
}

#[test]
fn of_a_file_its_folder_is_meant() {
    assert_eq!(folder(Path::new("/etc/stopgap/local.rules")), Path::new("/etc/stopgap"));
    assert_eq!(folder(Path::new("local.rules")), Path::new("."));
    assert_eq!(folder(Path::new("/local.rules")), Path::new("/local.rules"));
    assert_eq!(folder(Path::new("/etc")), Path::new("/etc"));
}
