//! Small requests to the kernel that have no room of their own.

/// This thread runs when nothing else wants to.
pub fn idle_priority() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: plain calls on this thread; a refusal leaves it as it was.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter);
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
