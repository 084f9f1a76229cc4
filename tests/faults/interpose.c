// Stands between the program and the kernel, for the fault tests. Loaded with LD_PRELOAD; Linux on
// x86-64 or AArch64.
//
// A seccomp filter turns every system call that touches a file into SIGSYS, however it was made: some
// libraries make calls themselves, past libc, where a wrapper function would never see them. The
// handler looks whether the call's path is in the part of the file system under test, and lets it
// pass, fails it, delays it, or kills the process before, in the middle of, or after it. Our own calls
// come from one instruction, which the filter lets pass.
//
// What to do is in a file that the test writes and that is mapped here, so that it can change while
// the program runs (see struct control). The rest is in the environment:
//
//   FAULTS_CONTROL  the mapped file
//   FAULTS_PREFIX   the paths under test begin with this
//   FAULTS_TRACE    where to append every change that was made, with its bytes
//   FAULTS_BOOT_ID  the file to show for /proc/sys/kernel/random/boot_id
//   FAULTS_FILES    the number of files that may be open, soft and hard limit
//   FAULTS_STREAMS  set if standard output and error are under test too

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// Kinds of calls, as bits. tests/faults/interposer.rs has the same numbers.
enum {
    OPEN_READ = 1,
    OPEN_WRITE = 2, // also truncating
    WRITE = 4,
    TRUNCATE = 8,
    SYNC = 16,   // fsync, fdatasync
    RANGE = 32,  // sync_file_range, which makes nothing durable
    RENAME = 64, // and link
    REMOVE = 128,
    CHANGE = 256, // mkdir, chmod
    SPACE = 512,  // statfs
    CREATE = 1024, // an open that makes a file
};

// What happens to the calls number first..last of the chosen kinds.
enum { PASS, KILL_BEFORE, KILL_MIDDLE, KILL_AFTER, FAIL, FAIL_SHORT };

// The mapped file. All numbers are 64 bits, in the machine's order.
struct control {
    uint64_t kinds;   // which calls are counted
    uint64_t action;  // what happens to those that are meant
    uint64_t first;   // the first that is meant, counted from 1
    uint64_t last;    // the last
    uint64_t error;   // the errno of FAIL; FAIL_SHORT writes half of the first write instead
    uint64_t delay;   // microseconds before every SYNC
    int64_t clock;    // seconds that the clock is ahead
    uint64_t space;   // free bytes to tell, plus one; zero tells the truth
    uint64_t count;   // out: how many calls were counted
    uint64_t faults;  // out: to how many something happened
};

// What was changed, for the trace.
enum { T_CREATE = 1, T_WRITE, T_TRUNCATE, T_SYNC_BEGIN, T_SYNC_END, T_RENAME, T_REMOVE, T_MKDIR };

struct record {
    uint32_t magic;
    uint16_t what;
    uint16_t path; // the lengths of what follows: path, second path, data
    uint32_t second;
    uint32_t data;
    uint64_t number; // offset of a write, length of a truncation, name of a sync
};

#define MAGIC 0x62666c74u
#define PATH_BYTES 1024
#define TRACE_FD 900 // out of the way of the program's own

static struct control *control;
static const char *prefix;
static size_t prefix_length;
static const char *boot_id;
static int trace = -1;
static int lock;
static uint64_t syncs;
static int streams;

// The only instruction here that makes system calls: long raw(number, six arguments).
long faults_raw(long, long, long, long, long, long, long);
extern const char faults_raw_end[];
#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
__asm__(".text\n.globl faults_raw\n.type faults_raw,@function\nfaults_raw:\n"
        "mov %rdi,%rax\nmov %rsi,%rdi\nmov %rdx,%rsi\nmov %rcx,%rdx\n"
        "mov %r8,%r10\nmov %r9,%r8\nmov 8(%rsp),%r9\nsyscall\n"
        ".globl faults_raw_end\nfaults_raw_end:\nret\n");
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
__asm__(".text\n.globl faults_raw\n.type faults_raw,@function\nfaults_raw:\n"
        "mov x8,x0\nmov x0,x1\nmov x1,x2\nmov x2,x3\nmov x3,x4\nmov x4,x5\nmov x5,x6\nsvc #0\n"
        ".globl faults_raw_end\nfaults_raw_end:\nret\n");
#else
#error "x86-64 or AArch64"
#endif
#define raw(n, a, b, c, d, e) \
    faults_raw((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static void die(void) {
    for (;;) raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0);
}

static int under_test(const char *path) {
    return strncmp(path, prefix, prefix_length) == 0;
}

// The path an open file has now.
static int path_of(int fd, char *path) {
    char link[32] = "/proc/self/fd/";
    char digits[12];
    int length = 0, at = 14;
    if (fd == AT_FDCWD) {
        memcpy(link, "/proc/self/cwd", 15);
    } else if (fd < 0) {
        return 0;
    } else {
        do digits[length++] = (char)('0' + fd % 10);
        while ((fd /= 10) > 0);
        while (length > 0) link[at++] = digits[--length];
        link[at] = 0;
    }
    long n = raw(SYS_readlinkat, AT_FDCWD, link, path, PATH_BYTES - 1, 0);
    if (n <= 0) return 0;
    path[n] = 0;
    return 1;
}

// The absolute form of a path that was given to a call.
static int path_at(int directory, const char *given, char *path) {
    size_t length = strlen(given), start = 0;
    if (length == 0 || length >= PATH_BYTES) return 0;
    if (given[0] != '/') {
        if (!path_of(directory, path)) return 0;
        start = strlen(path);
        if (start + length + 2 > PATH_BYTES) return 0;
        path[start++] = '/';
    }
    memcpy(path + start, given, length + 1);
    return 1;
}

// Changes and their records must have one order; the program's threads make them side by side.
static void enter(void) {
    if (trace < 0) return;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) raw(SYS_sched_yield, 0, 0, 0, 0, 0);
}

static void leave(void) {
    if (trace >= 0) __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

// One write to a file opened for appending: the records of several processes do not mix.
static void note(int what, const char *path, const char *second, const void *data, size_t length,
                 uint64_t number) {
    if (trace < 0) return;
    size_t one = strlen(path), two = second ? strlen(second) : 0;
    struct record record = {MAGIC, (uint16_t)what, (uint16_t)one, (uint32_t)two, (uint32_t)length, number};
    struct iovec parts[4] = {
        {&record, sizeof record}, {(void *)path, one}, {(void *)second, two}, {(void *)data, length}};
    long n = raw(SYS_writev, trace, parts, 4, 0, 0);
    if (n != (long)(sizeof record + one + two + length)) die();
}

// Counts the call, and says what shall happen to it.
static int decide(unsigned kind, int *failure) {
    if (!(control->kinds & kind)) return PASS;
    uint64_t k = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (control->action == PASS || k < control->first || k > control->last) return PASS;
    __atomic_add_fetch(&control->faults, 1, __ATOMIC_SEQ_CST);
    int action = (int)control->action;
    if (action == FAIL_SHORT && (kind != WRITE || k != control->first)) action = FAIL;
    if (action == KILL_BEFORE || (action == KILL_MIDDLE && kind != WRITE)) die();
    *failure = -(int)control->error;
    return action;
}

#define AFTER(action) \
    if ((action) == KILL_AFTER) die()

static long open_at(int directory, const char *given, long flags, long mode) {
    char path[PATH_BYTES];
    if (boot_id && strcmp(given, "/proc/sys/kernel/random/boot_id") == 0) given = boot_id;
    if (!path_at(directory, given, path) || !under_test(path))
        return raw(SYS_openat, directory, given, flags, mode, 0);
    int writes = (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
    enter();
    int is_new = (flags & O_CREAT) && raw(SYS_faccessat, AT_FDCWD, path, F_OK, 0, 0) == -ENOENT;
    int failure, action = decide(is_new ? CREATE : writes ? OPEN_WRITE : OPEN_READ, &failure);
    if (action >= FAIL) {
        leave();
        return failure;
    }
    long result = raw(SYS_openat, directory, given, flags, mode, 0);
    if (result >= 0 && is_new) note(T_CREATE, path, 0, 0, 0, 0);
    else if (result >= 0 && (flags & O_TRUNC)) note(T_TRUNCATE, path, 0, 0, 0, 0);
    leave();
    AFTER(action);
    return result;
}

static long write_to(int fd, const char *data, size_t length, int has_offset, long offset) {
    char path[PATH_BYTES];
    long n = has_offset ? SYS_pwrite64 : SYS_write;
    // Where standard error goes is the test's own business.
    if ((fd <= STDERR_FILENO && !streams) || !path_of(fd, path) || !under_test(path))
        return raw(n, fd, data, length, offset, 0);
    int failure, action = decide(WRITE, &failure);
    if (action == FAIL) return failure;
    if (action == KILL_MIDDLE || action == FAIL_SHORT) length = (length + 1) / 2;
    enter();
    long result = raw(n, fd, data, length, offset, 0);
    if (action == KILL_MIDDLE) die();
    if (result > 0) {
        long at = has_offset ? offset : raw(SYS_lseek, fd, 0, SEEK_CUR, 0, 0) - result;
        note(T_WRITE, path, 0, data, (size_t)result, (uint64_t)at);
    }
    leave();
    AFTER(action);
    return result;
}

// A short write is always allowed, and callers must go on behind it.
static long write_vector(int fd, const struct iovec *parts, long count, int has_offset, long offset) {
    while (count > 1 && parts->iov_len == 0) parts++, count--;
    return count < 1 ? 0 : write_to(fd, parts->iov_base, parts->iov_len, has_offset, offset);
}

static long sync_file(long n, int fd) {
    char path[PATH_BYTES];
    if (!path_of(fd, path) || !under_test(path)) return raw(n, fd, 0, 0, 0, 0);
    int failure, action = decide(SYNC, &failure);
    if (control->delay) {
        struct timespec pause = {(time_t)(control->delay / 1000000), (long)(control->delay % 1000000) * 1000};
        raw(SYS_nanosleep, &pause, 0, 0, 0, 0);
    }
    if (action >= FAIL) return failure;
    // What was written before the first note is durable after the second; others write meanwhile.
    uint64_t name = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    name |= (uint64_t)raw(SYS_getpid, 0, 0, 0, 0, 0) << 32;
    enter();
    note(T_SYNC_BEGIN, path, 0, 0, 0, name);
    leave();
    long result = raw(n, fd, 0, 0, 0, 0);
    enter();
    if (result == 0) note(T_SYNC_END, path, 0, 0, 0, name);
    leave();
    AFTER(action);
    return result;
}

// Any other call on an open file.
static long on_file(unsigned kind, long n, const long *a) {
    char path[PATH_BYTES];
    if (!path_of((int)a[0], path) || !under_test(path))
        return faults_raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
    int failure, action = decide(kind, &failure);
    if (action >= FAIL) return failure;
    enter();
    long result = faults_raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == 0 && n == SYS_ftruncate) note(T_TRUNCATE, path, 0, 0, 0, (uint64_t)a[1]);
    leave();
    AFTER(action);
    return result;
}

// Calls that change what a directory says; `second` is null where there is only one name.
static long on_name(unsigned kind, int what, long n, int directory, const char *given, long third, int to,
                    const char *second, long flags) {
    char path[PATH_BYTES], other[PATH_BYTES];
    int known = path_at(directory, given, path) && (!second || path_at(to, second, other));
    int failure, action = PASS, watched = known && (under_test(path) || (second && under_test(other)));
    // That a directory is there already is said before anything else is wrong.
    if (what == T_MKDIR && raw(SYS_faccessat, directory, given, F_OK, 0, 0) == 0) watched = 0;
    if (watched) action = decide(kind, &failure);
    if (action >= FAIL) return failure;
    if (watched) enter();
    long result = second ? raw(n, directory, given, to, second, flags) : raw(n, directory, given, third, 0, 0);
    if (watched && what && result == 0) note(what, path, second ? other : 0, 0, 0, 0);
    if (watched) leave();
    AFTER(action);
    return result;
}

static long space(long n, long which, const char *path, struct statfs *answer) {
    int failure, action = PASS;
    int watched = path && under_test(path);
    if (watched) action = decide(SPACE, &failure);
    if (action >= FAIL) return failure;
    long result = raw(n, which, answer, 0, 0, 0);
    if (watched && result == 0 && control->space && answer->f_bsize > 0)
        answer->f_bavail = answer->f_bfree = (control->space - 1) / (uint64_t)answer->f_bsize;
    return result;
}

static long serve(long n, const long *a) {
    char path[PATH_BYTES];
    const char *text = (const char *)a[0], *text_at = (const char *)a[1];
    switch (n) {
    case SYS_openat: return open_at((int)a[0], text_at, a[2], a[3]);
    case SYS_write: return write_to((int)a[0], text_at, (size_t)a[2], 0, 0);
    case SYS_pwrite64: return write_to((int)a[0], text_at, (size_t)a[2], 1, a[3]);
    case SYS_writev: return write_vector((int)a[0], (void *)a[1], a[2], 0, 0);
    case SYS_pwritev: return write_vector((int)a[0], (void *)a[1], a[2], 1, a[3]);
    case SYS_ftruncate: return on_file(TRUNCATE, n, a);
    case SYS_fallocate: return on_file(TRUNCATE, n, a);
    case SYS_fchmod: return on_file(CHANGE, n, a);
    case SYS_sync_file_range: return on_file(RANGE, n, a);
    case SYS_fsync:
    case SYS_fdatasync: return sync_file(n, (int)a[0]);
    // What is copied inside the kernel would not be seen; callers then read and write.
    case SYS_copy_file_range:
        if (path_of((int)a[2], path) && under_test(path)) return -EXDEV;
        break;
    case SYS_sendfile:
        if (path_of((int)a[0], path) && under_test(path)) return -EINVAL;
        break;
    case SYS_renameat2:
        return on_name(RENAME, T_RENAME, n, (int)a[0], text_at, 0, (int)a[2], (char *)a[3], a[4]);
    case SYS_unlinkat: return on_name(REMOVE, T_REMOVE, n, (int)a[0], text_at, a[2], 0, 0, 0);
    case SYS_mkdirat: return on_name(CHANGE, T_MKDIR, n, (int)a[0], text_at, a[2], 0, 0, 0);
    case SYS_fchmodat: return on_name(CHANGE, 0, n, (int)a[0], text_at, a[2], 0, 0, 0);
    case SYS_renameat:
        return on_name(RENAME, T_RENAME, SYS_renameat2, (int)a[0], text_at, 0, (int)a[2], (char *)a[3], 0);
    case SYS_statfs: return space(n, a[0], text, (struct statfs *)a[1]);
    case SYS_fstatfs: return space(n, a[0], path_of((int)a[0], path) ? path : 0, (struct statfs *)a[1]);
#ifdef SYS_open // the older names, on machines that have them
    case SYS_open: return open_at(AT_FDCWD, text, a[1], a[2]);
    case SYS_creat: return open_at(AT_FDCWD, text, O_CREAT | O_WRONLY | O_TRUNC, a[1]);
    case SYS_rename:
        return on_name(RENAME, T_RENAME, SYS_renameat2, AT_FDCWD, text, 0, AT_FDCWD, text_at, 0);
    case SYS_unlink: return on_name(REMOVE, T_REMOVE, SYS_unlinkat, AT_FDCWD, text, 0, 0, 0, 0);
    case SYS_rmdir: return on_name(REMOVE, T_REMOVE, SYS_unlinkat, AT_FDCWD, text, AT_REMOVEDIR, 0, 0, 0);
    case SYS_mkdir: return on_name(CHANGE, T_MKDIR, SYS_mkdirat, AT_FDCWD, text, a[1], 0, 0, 0);
    case SYS_chmod: return on_name(CHANGE, 0, SYS_fchmodat, AT_FDCWD, text, a[1], 0, 0, 0);
#endif
    }
    return faults_raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static const int CALLS[] = {
    SYS_openat, SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_ftruncate, SYS_fallocate, SYS_fchmod,
    SYS_sync_file_range, SYS_fsync, SYS_fdatasync, SYS_copy_file_range, SYS_sendfile, SYS_renameat2,
    SYS_unlinkat, SYS_mkdirat, SYS_fchmodat, SYS_renameat, SYS_statfs, SYS_fstatfs,
#ifdef SYS_open
    SYS_open, SYS_creat, SYS_rename, SYS_unlink, SYS_rmdir, SYS_mkdir, SYS_chmod,
#endif
};
#define CALL_COUNT (sizeof CALLS / sizeof CALLS[0])

static void on_sigsys(int number, siginfo_t *information, void *context) {
    (void)number;
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    greg_t *r = machine->gregs;
    long a[6] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
    r[REG_RAX] = serve(information->si_syscall, a);
#else
    unsigned long long *r = (unsigned long long *)machine->regs;
    long a[6] = {(long)r[0], (long)r[1], (long)r[2], (long)r[3], (long)r[4], (long)r[5]};
    r[0] = (unsigned long long)serve(information->si_syscall, a);
#endif
}

// The clock, which programs read without a system call.
int clock_gettime(clockid_t clock, struct timespec *answer) {
    long result = raw(SYS_clock_gettime, clock, answer, 0, 0, 0);
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    if (control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        answer->tv_sec += (time_t)control->clock;
    return 0;
}

time_t time(time_t *answer) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (answer) *answer = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *answer, void *zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    answer->tv_sec = now.tv_sec;
    answer->tv_usec = now.tv_nsec / 1000;
    return 0;
}

static void fail(const char *what) {
    perror(what);
    _exit(99);
}

static void install_filter(void) {
    struct sock_filter program[CALL_COUNT + 12];
    size_t n = 0;
    uint64_t here = (uint64_t)(uintptr_t)faults_raw_end;
#define LOAD(field) \
    program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no) \
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), yes, no)
#define ANSWER(value) program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value)
    LOAD(arch);
    EQUAL(ARCHITECTURE, 1, 0);
    ANSWER(SECCOMP_RET_ALLOW);
    LOAD(nr);
    for (size_t i = 0; i < CALL_COUNT; i++) EQUAL(CALLS[i], (uint8_t)(CALL_COUNT - i), 0);
    ANSWER(SECCOMP_RET_ALLOW);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                offsetof(struct seccomp_data, instruction_pointer));
    EQUAL(here, 0, 2);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                offsetof(struct seccomp_data, instruction_pointer) + 4);
    EQUAL(here >> 32, 1, 0);
    ANSWER(SECCOMP_RET_TRAP);
    ANSWER(SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {(unsigned short)n, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) fail("seccomp");
}

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULTS_CONTROL");
    prefix = getenv("FAULTS_PREFIX");
    boot_id = getenv("FAULTS_BOOT_ID");
    streams = getenv("FAULTS_STREAMS") != 0;
    if (!file || !prefix) return;
    prefix_length = strlen(prefix);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) fail(file);
    control = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) fail(file);
    close(fd);
    const char *log = getenv("FAULTS_TRACE");
    if (log) {
        fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        trace = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, TRACE_FD);
        if (trace < 0) fail(log);
        close(fd);
    }
    const char *files = getenv("FAULTS_FILES");
    if (files) {
        struct rlimit limit = {strtoul(files, 0, 10), strtoul(files, 0, 10)};
        if (setrlimit(RLIMIT_NOFILE, &limit)) fail("setrlimit");
    }
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_RESTART};
    // Another handler must not run while this one holds the lock.
    sigfillset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, 0)) fail("sigaction");
    install_filter();
}
