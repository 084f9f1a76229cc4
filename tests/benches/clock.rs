//! CPU time: of this process, of one thread, of children that have ended, of a process that runs.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::ClockId;
use nix::unistd::Pid;
use std::time::Duration;

/// What this process has used, all threads together, user and system.
pub fn of_process() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// What the calling thread has used.
pub fn of_thread() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// What the children that were waited for have used.
pub fn of_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel knows its children's time");
    duration(usage.user_time()) + duration(usage.system_time())
}

/// The clock of a child that runs.
pub fn of_child(id: u32) -> ClockId {
    let id = Pid::from_raw(id.try_into().expect("a process id fits"));
    ClockId::pid_cpu_clock_id(id).expect("the child runs")
}

/// What a clock says.
pub fn read(clock: ClockId) -> Duration {
    let now = clock
        .now()
        .expect("the process runs, and this kernel has CPU clocks");
    Duration::from(now)
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(micros.try_into().unwrap_or(0))
}
