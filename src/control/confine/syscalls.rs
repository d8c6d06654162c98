//! The system calls of a data plane at work, and why each is needed. All others are refused.
//!
//! The kernel keeps a bitmap of those that are allowed whatever their arguments, so the length of the list costs nothing
//! on the packet's way.

use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp};

/// prctl(2): the auxiliary vector.
const PR_GET_AUXV: u64 = 0x4155_5856;

/// A condition: the argument by its number, its width, how it is compared and with what.
pub type Condition = (u8, SeccompCmpArgLen, SeccompCmpOp, u64);

/// Under which arguments a call is allowed.
#[derive(Clone, Debug)]
pub enum When {
    Always,
    /// When one of them holds.
    AnyOf(Vec<Condition>),
}

#[derive(Clone, Debug)]
pub struct Row {
    pub number: libc::c_long,
    pub when: When,
}

/// Rows of calls that are allowed whatever their arguments. Each says what it is for, or this does not compile.
macro_rules! rows {
    ($($name:ident $why:literal;)*) => {
        vec![$({
            const _: &str = $why;
            Row { number: libc::$name, when: When::Always }
        }),*]
    };
}

/// Every call that is allowed; `pid` is our own.
pub fn table(pid: u32) -> Vec<Row> {
    let mut all = memory_and_threads();
    all.extend(frames());
    all.extend(files());
    #[cfg(target_arch = "x86_64")]
    all.extend(files_of_old());
    all.extend(conditional(pid));
    all
}

fn memory_and_threads() -> Vec<Row> {
    rows! {
        SYS_mmap "memory: the allocator, threads' stacks, PCRE2's compiled code after a reload";
        SYS_munmap "giving it back";
        SYS_mremap "growing large lists";
        SYS_mprotect "guard pages of stacks; PCRE2 makes the code it compiled executable";
        SYS_madvise "the allocator returns pages and asks for large ones";
        SYS_brk "small memory of the C library";
        SYS_futex "locks and channels between threads";
        SYS_set_robust_list "a thread's start: what becomes of its locks when it dies";
        SYS_rseq "a thread's start: restartable sequences of the C library";
        SYS_exit "a thread's end";
        SYS_exit_group "the process's end";
        SYS_gettid "which thread is this, for its name and its priority";
        SYS_getpid "which process, for names of temporary files";
        SYS_sched_yield "a spin lock lets others go first";
        SYS_sched_getaffinity "how many processors there are";
        SYS_sched_setaffinity "rules are compiled off the workers' processors";
        SYS_sched_getscheduler "what priority a thread has";
        SYS_sched_getparam "what priority a thread has";
        SYS_getpriority "the same";
        SYS_setpriority "rules are compiled at a low one";
        SYS_getcpu "on which processor is this";
        SYS_rt_sigaction "a thread's start: the handler of stack overflow";
        SYS_rt_sigprocmask "signals are held back while a thread starts";
        SYS_rt_sigreturn "a signal handler's end";
        SYS_sigaltstack "the stack of that handler";
        SYS_restart_syscall "the kernel goes on with a wait that a stop interrupted";
        SYS_clock_gettime "the time, where the kernel's page of clocks cannot tell it";
        SYS_clock_getres "how fine it is";
        SYS_clock_nanosleep "sleeping";
        SYS_nanosleep "the same";
        SYS_gettimeofday "the time for C code";
        SYS_getrandom "keys of hash tables";
        SYS_getrusage "CPU time and memory for the counters";
        SYS_sysinfo "how much memory the machine has";
        SYS_uname "which kernel this is, asked by the C library";
        SYS_getuid "whose files the cache trusts";
        SYS_geteuid "the same";
        SYS_getgid "the same of groups";
        SYS_getegid "the same";
    }
}

fn frames() -> Vec<Row> {
    rows! {
        SYS_ppoll "waiting for frames and for the supervisor";
        SYS_epoll_pwait "the same";
        SYS_epoll_ctl "what is waited for";
        SYS_sendto "having the kernel send frames; answers to the supervisor";
        SYS_recvfrom "having a busy-polled driver look for frames; questions of the supervisor";
        SYS_sendmsg "frames of packet sockets, verdicts of queues";
        SYS_sendmmsg "the same in batches";
        SYS_recvmsg "frames of packet sockets and queues";
        SYS_recvmmsg "the same in batches";
        SYS_getsockopt "what a socket lost";
        SYS_getsockname "whether the port of a packet socket is still there";
        SYS_shutdown "the supervisor's connection ends";
    }
}

fn files() -> Vec<Row> {
    rows! {
        SYS_read "rules and configuration at a reload; a bell between workers";
        SYS_pread64 "the same at a place in the file";
        SYS_readv "the same in pieces";
        SYS_write "the log; a bell between workers";
        SYS_pwrite64 "the log at a place in the file";
        SYS_writev "the log in pieces";
        SYS_openat "files of recorded traffic and of the file store, rule files at a reload; where, landlock says";
        SYS_close "done with a file";
        SYS_lseek "how long a file is, appending";
        SYS_fstat "how long a file is";
        SYS_newfstatat "what a path is";
        SYS_statx "the same";
        SYS_faccessat "whether a path is there";
        SYS_getdents64 "rule files by a pattern, the cache's files";
        SYS_getcwd "paths that do not begin at the root";
        SYS_readlinkat "paths through symbolic links";
        SYS_fcntl "flags of descriptors, copies of them, locks";
        SYS_dup "a copy of a descriptor";
        SYS_flock "the log has one writer";
        SYS_fsync "the log is on the disk";
        SYS_fdatasync "the same";
        SYS_ftruncate "a log file begins anew";
        SYS_fallocate "room for a record of traffic";
        SYS_renameat "a finished file of the file store";
        SYS_renameat2 "the same";
        SYS_unlinkat "the oldest file of recorded traffic";
        SYS_mkdirat "folders of the file store";
        SYS_fchmod "who may read a log";
        SYS_utimensat "the cache notes what was used last";
    }
}

/// Calls that later ones replaced, which the C library still makes where they are.
#[cfg(target_arch = "x86_64")]
fn files_of_old() -> Vec<Row> {
    rows! {
        SYS_open "as openat";
        SYS_stat "as newfstatat";
        SYS_lstat "as newfstatat";
        SYS_access "as faccessat";
        SYS_readlink "as readlinkat";
        SYS_rename "as renameat";
        SYS_unlink "as unlinkat";
        SYS_mkdir "as mkdirat";
        SYS_poll "as ppoll";
        SYS_epoll_wait "as epoll_pwait";
        SYS_time "as clock_gettime";
    }
}

fn conditional(pid: u32) -> Vec<Row> {
    let any = |argument: u8, values: &[u64]| When::AnyOf(values.iter().map(|v| (argument, Dword, Eq, *v)).collect());
    let threads = libc::CLONE_THREAD as u64;
    vec![
        // Threads, never processes.
        Row { number: libc::SYS_clone, when: When::AnyOf(vec![(0, Qword, MaskedEq(threads), threads)]) },
        // Threads. Its flags lie in memory, unseen; the filter in front of this one answers it as unknown, after which the
        // C library takes the one above.
        Row { number: libc::SYS_clone3, when: When::Always },
        // A failed check ends this process, and no other.
        Row { number: libc::SYS_tgkill, when: any(0, &[pid.into()]) },
        // How large a stack may be is read; no limit is set.
        Row { number: libc::SYS_prlimit64, when: When::AnyOf(vec![(2, Qword, Eq, 0)]) },
        // The names of a thread, and of the allocator's memory; what the kernel told the process at its start.
        Row {
            number: libc::SYS_prctl,
            when: any(0, &[libc::PR_SET_NAME as u64, libc::PR_SET_VMA as u64, PR_GET_AUXV]),
        },
        // A connection that does not wait; whether this is a terminal.
        Row { number: libc::SYS_ioctl, when: any(1, &[libc::FIONBIO, libc::FIONREAD, libc::TCGETS, libc::TIOCGWINSZ]) },
        // Flows that the XDP program forwards or drops by itself, in maps that are open: look up, update, delete, next
        // key, and the same in batches. No program, no map is made, nothing is attached.
        Row { number: libc::SYS_bpf, when: any(0, &[1, 2, 3, 4, 24, 25, 26, 27]) },
    ]
}
