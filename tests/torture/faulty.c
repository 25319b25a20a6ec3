/* Preloaded: the k-th call of a kind that writes below a directory fails, and with ENOSPC all calls after it.
   TORTURE_BELOW: the directory; TORTURE_CALL: open, write, sync or rename; TORTURE_AT: k, from 1; TORTURE_ERRNO: the error;
   TORTURE_LOG: a file to which every such call is noted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int counted;

static int note(const char *call, const char *path) {
    const char *log = getenv("TORTURE_LOG");
    static int (*real_open)(const char *, int, ...);
    static ssize_t (*real_write)(int, const void *, size_t);
    char line[PATH_MAX + 32];
    if (!log) return 0;
    real_open = dlsym(RTLD_NEXT, "open");
    real_write = dlsym(RTLD_NEXT, "write");
    int file = real_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int size = snprintf(line, sizeof line, "%s %s\n", call, path);
    if (file >= 0) { real_write(file, line, size); close(file); }
    return 0;
}

/* Whether this call is to fail; sets errno. */
static int fails(const char *call, const char *path) {
    const char *below = getenv("TORTURE_BELOW"), *which = getenv("TORTURE_CALL"), *at = getenv("TORTURE_AT");
    char whole[2 * PATH_MAX], here[PATH_MAX];
    int saved = errno;
    if (!below || !path) return 0;
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else snprintf(whole, sizeof whole, "%s/%s", getcwd(here, sizeof here) ? here : "", path);
    if (strncmp(whole, below, strlen(below))) { errno = saved; return 0; }
    note(call, whole);
    errno = saved;
    if (!which || !at || strcmp(which, call)) return 0;
    int error = atoi(getenv("TORTURE_ERRNO")), k = atoi(at), number = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    if (number == k || (number > k && error == ENOSPC)) { errno = error; return 1; }
    return 0;
}

static int fails_at(const char *call, int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(call, path);
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = dlsym(RTLD_NEXT, name)
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))
#define MODE(flags) mode_t mode = 0; if ((flags) & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

#define OPEN(name) int name(const char *path, int flags, ...) { \
    MODE(flags) REAL(int, #name, const char *, int, ...); \
    return WRITES(flags) && fails("open", path) ? -1 : real(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
    MODE(flags) REAL(int, #name, int, const char *, int, ...); \
    return WRITES(flags) && fails("open", path) ? -1 : real(folder, path, flags, mode); }
#define SYNC(name) int name(int file) { REAL(int, #name, int); return fails_at("sync", file) ? -1 : real(file); }
#define PWRITE(name) ssize_t name(int file, const void *bytes, size_t size, off_t at) { \
    REAL(ssize_t, #name, int, const void *, size_t, off_t); \
    return fails_at("write", file) ? -1 : real(file, bytes, size, at); }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
SYNC(fsync)
SYNC(fdatasync)
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails_at("write", file) ? -1 : real(file, bytes, size);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    return fails_at("write", file) ? -1 : real(file, parts, count);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return fails("rename", to) ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    return fails("rename", to) ? -1 : real(from_folder, from, to_folder, to);
}
