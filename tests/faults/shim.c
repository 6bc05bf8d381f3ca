/* A file system that fails on demand, put before libc by LD_PRELOAD.
 *
 * Looks at what a process writes under one folder: files opened to be written, writes, syncs, renames, truncations, new
 * folders. Every such call is a line of the log; calls of one kind whose name fits a pattern are counted, and what is
 * asked for happens to the n-th. Reads, and all that lies elsewhere, pass untouched.
 *
 * Environment:
 *   FAULT_UNDER   the folder, an absolute path without links. Names are relative to it; it is "." itself.
 *   FAULT_LOG     a file outside of it: "CALL<tab>NAME" for each call, "!CALL<tab>NAME" for one that a fault met.
 *   FAULT_CALL    open, write, fsync, rename, truncate, mkdir, or "*"
 *   FAULT_NAME    a glob (fnmatch); "*" alone is every name, elsewhere no star goes over a "/"
 *   FAULT_NTH     which one, from 1
 *   FAULT_ERRNO   what it fails with
 *   FAULT_ONWARD  "1": those after it fail as well
 *   FAULT_TORN    "error": half of the n-th write is done, and what comes after it fails; "kill": half of it is done,
 *                 then SIGKILL
 *   FAULT_SLOW_MS every sync takes so much longer
 *
 * A fork of a process begins to count anew by fault_configure().
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum fate { PASSES, FAILS, TORN };

static const char *under, *log_file, *wanted_call, *wanted_name;
static long nth = 1, slow_ms, seen;
static int error_number = EIO, onward, torn, torn_kills;

static long number_of(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

/* Reads the environment: at the start, and once more where a program has changed its own. */
__attribute__((constructor)) void fault_configure(void) {
    const char *tear = getenv("FAULT_TORN");
    under = getenv("FAULT_UNDER");
    log_file = getenv("FAULT_LOG");
    wanted_call = getenv("FAULT_CALL");
    wanted_name = getenv("FAULT_NAME");
    nth = number_of("FAULT_NTH", 1);
    error_number = (int)number_of("FAULT_ERRNO", EIO);
    onward = (int)number_of("FAULT_ONWARD", 0);
    slow_ms = number_of("FAULT_SLOW_MS", 0);
    torn = tear != NULL;
    seen = 0;
    torn_kills = torn && strcmp(tear, "kill") == 0;
}

/* By system calls, so that it is not watched itself and needs no descriptor that a program could close. */
static void note(const char *mark, const char *call, const char *name) {
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%s%s\t%s\n", mark, call, name);
    int file;
    if (!log_file)
        return;
    file = (int)syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        return;
    syscall(SYS_write, file, line, size);
    syscall(SYS_close, file);
}

/* Where `path` lies within the folder, NULL when it lies elsewhere. */
static const char *within(const char *path) {
    size_t size = under ? strlen(under) : 0;
    if (!size || strncmp(path, under, size) != 0)
        return NULL;
    if (path[size] == '\0')
        return ".";
    return path[size] == '/' ? path + size + 1 : NULL;
}

static enum fate fate_of(const char *call, const char *path) {
    const char *name = within(path);
    long number;
    if (!name)
        return PASSES;
    note("", call, name);
    if (!wanted_call || !wanted_name || fnmatch(wanted_call, call, 0) != 0)
        return PASSES;
    if (fnmatch(wanted_name, name, strcmp(wanted_name, "*") == 0 ? 0 : FNM_PATHNAME) != 0)
        return PASSES;
    number = __sync_add_and_fetch(&seen, 1);
    if (number < nth || (number > nth && !onward && !torn))
        return PASSES;
    note("!", call, name);
    return torn && number == nth ? TORN : FAILS;
}

static enum fate fate_of_open_file(const char *call, int file) {
    char link[64], path[PATH_MAX];
    ssize_t size;
    if (!under)
        return PASSES;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return PASSES;
    path[size] = '\0';
    return fate_of(call, path);
}

static enum fate fate_of_name(const char *call, int folder, const char *name) {
    char path[PATH_MAX], link[64];
    ssize_t size = 0;
    if (!under || !name)
        return PASSES;
    if (name[0] == '/')
        return fate_of(call, name);
    if (folder == AT_FDCWD) {
        if (!getcwd(path, sizeof path))
            return PASSES;
        size = (ssize_t)strlen(path);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        size = readlink(link, path, sizeof path - 1);
        if (size < 0)
            return PASSES;
    }
    snprintf(path + size, sizeof path - (size_t)size, "/%s", name);
    return fate_of(call, path);
}

static int failed(void) {
    errno = error_number;
    return -1;
}

static int to_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT); }

#define OPENS(function, folder, declared, passed)                                                                      \
    int function declared {                                                                                            \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list rest;                                                                                              \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
        }                                                                                                              \
        if (to_write(flags) && fate_of_name("open", folder, name) != PASSES)                                           \
            return failed();                                                                                           \
        return REAL(function) passed;                                                                                  \
    }

OPENS(open, AT_FDCWD, (const char *name, int flags, ...), (name, flags, mode))
OPENS(open64, AT_FDCWD, (const char *name, int flags, ...), (name, flags, mode))
OPENS(openat, folder, (int folder, const char *name, int flags, ...), (folder, name, flags, mode))
OPENS(openat64, folder, (int folder, const char *name, int flags, ...), (folder, name, flags, mode))

/* A torn write says how much it wrote, as on a disk that is full by then; the next one fails. */
#define WRITES(function, declared, passed, halved)                                                                     \
    ssize_t function declared {                                                                                        \
        ssize_t half;                                                                                                  \
        switch (fate_of_open_file("write", file)) {                                                                    \
        case FAILS:                                                                                                    \
            return failed();                                                                                           \
        case TORN:                                                                                                     \
            half = size > 1 ? REAL(function) halved : 0;                                                               \
            if (torn_kills)                                                                                            \
                kill(getpid(), SIGKILL);                                                                               \
            return half > 0 ? half : failed();                                                                         \
        default:                                                                                                       \
            return REAL(function) passed;                                                                              \
        }                                                                                                              \
    }

WRITES(write, (int file, const void *data, size_t size), (file, data, size), (file, data, size / 2))
WRITES(pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at), (file, data, size / 2, at))
WRITES(pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at),
       (file, data, size / 2, at))

ssize_t writev(int file, const struct iovec *parts, int count) {
    size_t size = 0;
    ssize_t half;
    enum fate fate = fate_of_open_file("write", file);
    if (fate == PASSES)
        return REAL(writev)(file, parts, count);
    for (int part = 0; part < count && size == 0; part++) {
        size = parts[part].iov_len;
        if (fate == TORN && size > 1) {
            half = REAL(write)(file, parts[part].iov_base, size / 2);
            if (torn_kills)
                kill(getpid(), SIGKILL);
            return half;
        }
    }
    return failed();
}

#define SYNCS(function)                                                                                                \
    int function(int file) {                                                                                           \
        if (fate_of_open_file("fsync", file) != PASSES)                                                                \
            return failed();                                                                                           \
        if (slow_ms) {                                                                                                 \
            struct timespec pause = {slow_ms / 1000, slow_ms % 1000 * 1000000};                                        \
            nanosleep(&pause, NULL);                                                                                   \
        }                                                                                                              \
        return REAL(function)(file);                                                                                   \
    }

SYNCS(fsync)
SYNCS(fdatasync)

int ftruncate(int file, off_t size) {
    return fate_of_open_file("truncate", file) == PASSES ? REAL(ftruncate)(file, size) : failed();
}

int ftruncate64(int file, off64_t size) {
    return fate_of_open_file("truncate", file) == PASSES ? REAL(ftruncate64)(file, size) : failed();
}

int rename(const char *from, const char *to) {
    return fate_of_name("rename", AT_FDCWD, to) == PASSES ? REAL(rename)(from, to) : failed();
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return fate_of_name("rename", to_folder, to) == PASSES ? REAL(renameat)(from_folder, from, to_folder, to)
                                                           : failed();
}

/* What is there already needs no room and changes nothing. */
static int passes_mkdir(int folder, const char *name) {
    return faccessat(folder, name, F_OK, 0) == 0 || fate_of_name("mkdir", folder, name) == PASSES;
}

int mkdir(const char *name, mode_t mode) {
    return passes_mkdir(AT_FDCWD, name) ? REAL(mkdir)(name, mode) : failed();
}

int mkdirat(int folder, const char *name, mode_t mode) {
    return passes_mkdir(folder, name) ? REAL(mkdirat)(folder, name, mode) : failed();
}
