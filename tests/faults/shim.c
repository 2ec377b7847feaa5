/* Faults of the file system and of the clock, by a library that is loaded before the C library (LD_PRELOAD).

   Every call that changes a file in or below the folder in the shared state is counted, in all processes, and noted in
   a log. A fault is injected at one of them, or at all from there on. See shim.py for the state. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NONE, ENOSPC_FAULT, EDQUOT_FAULT, EIO_FAULT, KILL_FAULT, SHORT_FAULT, SLOW_FAULT, CLOCK_FAULT };

struct state {
    long count, at, persistent, kind, injected, clock_seconds;
    char folder[1000];
    char log[1000];
};

static struct state *shared;

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("FAULTS_STATE");
    if (!name)
        return;
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR);
    if (descriptor < 0)
        return;
    void *found = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    shared = found == MAP_FAILED ? NULL : found;
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void note(const char *call, const char *path, long number)
{
    char line[2200];
    int length = snprintf(line, sizeof line, "%ld %ld %s %s\n", number, syscall(SYS_gettid), call, path);
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, shared->log, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (descriptor >= 0) {
        syscall(SYS_write, descriptor, line, (size_t)length);
        syscall(SYS_close, descriptor);
    }
}

/* Whether a path is the folder or below it. */
static int is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (!path[length] || path[length] == '/');
}

/* Count a call; return the error to give, 0 for none, or -1 for a short write. */
static int fault(const char *call, const char *path, int takes_space)
{
    if (!shared || !is_below(path, shared->folder))
        return 0;
    int before = errno;
    long number = __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST);
    note(call, path, number);
    errno = before;
    if (!shared->at || (shared->persistent ? number < shared->at : number != shared->at))
        return 0;
    if ((shared->kind == ENOSPC_FAULT || shared->kind == EDQUOT_FAULT) && !takes_space)
        return 0;
    __atomic_add_fetch(&shared->injected, 1, __ATOMIC_SEQ_CST);
    switch (shared->kind) {
    case ENOSPC_FAULT:
        return ENOSPC;
    case EDQUOT_FAULT:
        return EDQUOT;
    case EIO_FAULT:
        return EIO;
    case KILL_FAULT:
        syscall(SYS_kill, getpid(), SIGKILL);
        return EIO;
    case SHORT_FAULT:
        return -1;
    case SLOW_FAULT: {
        struct timespec pause = {0, 3000000};
        nanosleep(&pause, NULL);
        return 0;
    }
    case CLOCK_FAULT: /* a day forwards, a day backwards, ten years backwards, back */
        shared->clock_seconds = (long[]){86400, -86400, -315360000, 0}[number % 4];
        return 0;
    }
    return 0;
}

static const char *path_of(int descriptor, char *buffer)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

static const char *absolute(int folder, const char *path, char *buffer)
{
    char base[PATH_MAX];
    if (path[0] == '/')
        return path;
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            base[0] = 0;
    } else
        path_of(folder, base);
    snprintf(buffer, PATH_MAX, "%.2000s/%.2000s", base, path);
    return buffer;
}

#define FAIL_AT(call, path, takes_space) \
    do { \
        int error_ = fault(call, path, takes_space); \
        if (error_ > 0) { \
            errno = error_; \
            return -1; \
        } \
    } while (0)

ssize_t write(int descriptor, const void *data, size_t size)
{
    NEXT(write);
    char buffer[PATH_MAX];
    int error = shared ? fault("write", path_of(descriptor, buffer), 1) : 0;
    if (error > 0) {
        errno = error;
        return -1;
    }
    return next(descriptor, data, error < 0 && size > 1 ? size / 2 : size);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset)
{
    NEXT(pwrite64);
    char buffer[PATH_MAX];
    if (shared)
        FAIL_AT("write", path_of(descriptor, buffer), 1);
    return next(descriptor, data, size, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int n)
{
    NEXT(writev);
    char buffer[PATH_MAX];
    if (shared)
        FAIL_AT("write", path_of(descriptor, buffer), 1);
    return next(descriptor, parts, n);
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file)
{
    NEXT(fwrite);
    char buffer[PATH_MAX];
    int error = shared ? fault("write", path_of(fileno(file), buffer), 1) : 0;
    if (error > 0) {
        errno = error;
        return 0;
    }
    return next(data, size, n, file);
}

static int opened(const char *call, int folder, const char *path, int flags)
{
    char buffer[PATH_MAX];
    if (!shared || !(flags & O_CREAT))
        return 0;
    const char *whole = absolute(folder, path, buffer);
    struct stat status;
    if (syscall(SYS_newfstatat, AT_FDCWD, whole, &status, 0) == 0)
        return 0; /* needs no space, and is no change */
    return fault(call, whole, 1);
}

#define OPEN(name, parameters, folder, arguments) \
    int name parameters \
    { \
        NEXT(name); \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(list, int) : 0; \
        va_end(list); \
        int error = opened("create", folder, path, flags); \
        if (error > 0) { \
            errno = error; \
            return -1; \
        } \
        return next arguments; \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), folder, (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, (folder, path, flags, mode))

#define ONE_PATH(name, parameters, folder, path, takes_space, arguments) \
    int name parameters \
    { \
        NEXT(name); \
        char buffer[PATH_MAX]; \
        if (shared) \
            FAIL_AT(#name, absolute(folder, path, buffer), takes_space); \
        return next arguments; \
    }

ONE_PATH(rename, (const char *from, const char *to), AT_FDCWD, to, 0, (from, to))
ONE_PATH(renameat, (int f, const char *from, int t, const char *to), t, to, 0, (f, from, t, to))
ONE_PATH(link, (const char *from, const char *to), AT_FDCWD, to, 1, (from, to))
ONE_PATH(linkat, (int f, const char *from, int t, const char *to, int flags), t, to, 1, (f, from, t, to, flags))

int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    char buffer[PATH_MAX];
    struct stat status;
    if (shared && syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0))
        FAIL_AT("mkdir", absolute(AT_FDCWD, path, buffer), 1);
    return next(path, mode);
}

ONE_PATH(unlink, (const char *path), AT_FDCWD, path, 0, (path))
ONE_PATH(unlinkat, (int folder, const char *path, int flags), folder, path, 0, (folder, path, flags))

#define ONE_DESCRIPTOR(name, parameters, call, takes_space, arguments) \
    int name parameters \
    { \
        NEXT(name); \
        char buffer[PATH_MAX]; \
        if (shared) \
            FAIL_AT(call, path_of(descriptor, buffer), takes_space); \
        return next arguments; \
    }

ONE_DESCRIPTOR(fsync, (int descriptor), "fsync", 0, (descriptor))
ONE_DESCRIPTOR(fdatasync, (int descriptor), "fsync", 0, (descriptor))
ONE_DESCRIPTOR(ftruncate64, (int descriptor, off64_t size), "truncate", 1, (descriptor, size))

int posix_fallocate64(int descriptor, off64_t offset, off64_t size)
{
    NEXT(posix_fallocate64);
    char buffer[PATH_MAX];
    int error = shared ? fault("allocate", path_of(descriptor, buffer), 1) : 0;
    return error > 0 ? error : next(descriptor, offset, size);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    NEXT(clock_gettime);
    int status = next(clock, now);
    if (shared && clock == CLOCK_REALTIME)
        now->tv_sec += shared->clock_seconds;
    return status;
}

time_t time(time_t *seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds)
        *seconds = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}
