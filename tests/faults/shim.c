/* Stands between a program and the files below one directory: writes down what is done to them, or makes it fail.
 *
 * Loaded by LD_PRELOAD on Linux with glibc; shim.py builds it, sets its variables and reads its log.
 *
 *   SHIM_WATCH     the directory, as realpath gives it; without it nothing is done
 *   SHIM_LOG       RECORD: a file outside the directory, to which each call is appended once it has returned
 *   SHIM_FAULT     FAULT: "serial kinds error how nth again", numbers in decimal: see struct fault
 *   SHIM_SWITCH    the same in a file: faults happen while it is there; another serial counts calls from 1 again
 *   SHIM_DELAY_US  how much longer each sync and each O_DSYNC write takes, to imitate a slower disk
 *
 * Whose file a descriptor is, /proc says at each call, so nothing that makes or renames one can be missed. While
 * recording, one mutex is held over a call and its record: the order of the log is the order of the effects.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) \
    ({ \
        static __typeof__(&name) found_; \
        if (!found_) found_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
        found_; \
    })

/* What a record says; shim.py has the same list. */
enum action { CREATE = 1, WRITE, SIZE, GROW, SYNC, DATA_SYNC, RENAME, REMOVE, MAKE_DIRECTORY, LINK, MAPPED };

/* Which calls a fault strikes; shim.py has the same list. */
enum kind { ON_WRITE = 1, ON_DURABLE = 2, ON_SIZE = 4, ON_SYNC = 8, ON_DIRECTORY_SYNC = 16, ON_CREATE = 32,
            ON_RENAME = 64, ON_REMOVE = 128 };

/* REFUSE: nothing is done. SHORT: half of a write. LATE: all is done, and then reported as failed. */
enum how { PASS, REFUSE, SHORT, LATE };

/* The nth call fails: ONCE, EVER after, or PERIODIC, the nth after that and so on. */
enum again { ONCE, EVER, PERIODIC };

struct header {
    uint32_t bytes;    /* of the whole record: header, paths, data */
    uint8_t action;
    uint8_t durable;   /* the file was opened with O_DSYNC or O_SYNC, or truncated at opening (CREATE) */
    uint16_t error;    /* of a sync that failed; everything else that failed had no effect */
    uint64_t offset;   /* of a write; the new size of SIZE and GROW */
    uint32_t path_bytes, target_bytes;
};

struct fault {
    unsigned serial;
    unsigned kinds;
    int error;         /* errno */
    int how;           /* enum how */
    long nth;          /* the call that fails, from 1 */
    int again;         /* enum again */
};

static char watched[PATH_MAX];
static size_t watched_bytes;
static const char *switch_file;
static int log_fd = -1;
static useconds_t delay_us;
static struct fault fault;
static long matched, failed;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static void lock_order(void) { pthread_mutex_lock(&order); }
static void unlock_order(void) { pthread_mutex_unlock(&order); }

static void parse_fault(const char *text)
{
    struct fault read = {0};
    if (sscanf(text, "%u %u %d %d %ld %d", &read.serial, &read.kinds, &read.error, &read.how, &read.nth,
               &read.again) != 6)
        return;
    if (read.serial != fault.serial) matched = failed = 0;
    fault = read;
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("SHIM_WATCH"), *log_file = getenv("SHIM_LOG");
    const char *always = getenv("SHIM_FAULT"), *delay = getenv("SHIM_DELAY_US");
    if (!folder || strlen(folder) >= sizeof watched) return;
    watched_bytes = strlen(strcpy(watched, folder));
    switch_file = getenv("SHIM_SWITCH");
    if (always) parse_fault(always);
    if (delay) delay_us = (useconds_t)atol(delay);
    if (log_file) {
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) abort();
    }
    pthread_atfork(lock_order, unlock_order, unlock_order);
}

/* How many calls the present fault was asked about, and how many it made fail. */
long shim_matched(void) { return matched; }
long shim_failed(void) { return failed; }

/* ---------------------------------------------------------------------------------------------- whose file */

static int is_below(const char *path)
{
    return watched_bytes && !strncmp(path, watched, watched_bytes) &&
           (path[watched_bytes] == '/' || !path[watched_bytes]);
}

/* The path of an open file, if it is a watched one with a name. */
static int watched_fd(int fd, char *path)
{
    char link[64];
    ssize_t bytes;
    int before = errno;
    if (!watched_bytes || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    bytes = readlink(link, path, PATH_MAX - 1);
    errno = before;
    if (bytes <= 0) return 0;
    path[bytes] = 0;
    return is_below(path) && !strstr(path, " (deleted)");
}

/* The same of a path, as a call takes it. */
static int watched_path(int folder, const char *given, char *path)
{
    char base[PATH_MAX] = "";
    if (!watched_bytes || !given) return 0;
    if (given[0] == '/') return snprintf(path, PATH_MAX, "%s", given) < PATH_MAX && is_below(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else if (!watched_fd(folder, base)) {
        return 0;
    }
    return snprintf(path, PATH_MAX, "%.*s/%s", PATH_MAX / 2, base, given) < PATH_MAX && is_below(path);
}

static int is_durable(int fd) { return (fcntl(fd, F_GETFL) & O_DSYNC) != 0; }

static int is_directory(int fd)
{
    struct stat found;
    return !fstat(fd, &found) && S_ISDIR(found.st_mode);
}

static int is_lock_file(const char *path)
{
    const char *name = strrchr(path, '/');
    return name && !strcmp(name, "/lock.mdb");
}

/* --------------------------------------------------------------------------------------------- the two modes */

static void record(enum action action, int durable, int error, off_t offset, const char *path,
                   const char *target, const void *data, size_t data_bytes)
{
    struct header header = {0, (uint8_t)action, (uint8_t)durable, (uint16_t)error, (uint64_t)offset,
                            (uint32_t)strlen(path), (uint32_t)strlen(target)};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)path, header.path_bytes},
                            {(void *)target, header.target_bytes}, {(void *)data, data_bytes}};
    int before = errno;
    if (log_fd < 0) return;
    header.bytes = (uint32_t)(sizeof header + header.path_bytes + header.target_bytes + data_bytes);
    if (syscall(SYS_writev, log_fd, parts, 4L) != (long)header.bytes) abort();
    errno = before;
}

static void read_switch(void)
{
    char text[128];
    ssize_t bytes = -1;
    int fd, before = errno;
    if (!switch_file) return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, switch_file, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        bytes = syscall(SYS_read, fd, text, sizeof text - 1);
        syscall(SYS_close, fd);
    }
    if (bytes > 0) {
        text[bytes] = 0;
        parse_fault(text);
    } else {
        fault.kinds = 0;
    }
    errno = before;
}

static int strikes(void)
{
    if (fault.again == PERIODIC) return matched % fault.nth == 0;
    return fault.again == EVER ? matched >= fault.nth : matched == fault.nth;
}

/* What shall become of a call, under the mutex; errno is set for one that shall fail. */
static enum how judge(enum kind kind)
{
    read_switch();
    if (!(fault.kinds & kind)) return PASS;
    matched++;
    if (!strikes()) return PASS;
    failed++;
    errno = fault.error;
    return fault.how;
}

/* Enter a watched call. Without a log its order does not matter, and slow ones must not wait for each other. */
static enum how enter(enum kind kind)
{
    enum how how;
    if (delay_us && kind & (ON_SYNC | ON_DIRECTORY_SYNC | ON_DURABLE)) usleep(delay_us);
    lock_order();
    how = judge(kind);
    if (log_fd < 0) unlock_order();
    return how;
}

static void leave(void)
{
    if (log_fd >= 0) unlock_order();
}

/* The result of a call that was carried out, reported as failed if it shall be. */
static long report(enum how how, long result)
{
    if (how != LATE) return result;
    errno = fault.error;
    return -1;
}

/* ------------------------------------------------------------------------------------------- opening, making */

static int exists(int folder, const char *path)
{
    struct stat found;
    int before = errno, there = !fstatat(folder, path, &found, AT_SYMLINK_NOFOLLOW);
    errno = before;
    return there;
}

static int watched_open(int folder, const char *given, int flags, mode_t mode)
{
    char path[PATH_MAX];
    int fd, makes, changes = flags & (O_CREAT | O_TRUNC);
    if (!changes || (flags & O_TMPFILE) == O_TMPFILE || !watched_path(folder, given, path))
        return REAL(openat)(folder, given, flags, mode);
    makes = flags & O_CREAT && !exists(folder, given);
    if (makes && enter(ON_CREATE) != PASS) {
        leave();
        return -1;
    }
    if (!makes) lock_order();
    fd = REAL(openat)(folder, given, flags, mode);
    if (fd >= 0) record(CREATE, (flags & O_TRUNC) != 0, 0, 0, path, "", "", 0);
    if (!makes) unlock_order();
    else leave();
    return fd;
}

#define OPEN(name, arguments, folder) \
    int name arguments \
    { \
        mode_t mode = 0; \
        va_list rest; \
        va_start(rest, flags); \
        if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return watched_open(folder, path, flags, mode); \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int folder, const char *path, int flags, ...), folder)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder)

/* What a program compiled with _FORTIFY_SOURCE calls instead. */
int __open_2(const char *path, int flags) { return watched_open(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return watched_open(AT_FDCWD, path, flags, 0); }
int __openat_2(int folder, const char *path, int flags) { return watched_open(folder, path, flags, 0); }
int __openat64_2(int folder, const char *path, int flags) { return watched_open(folder, path, flags, 0); }

int creat(const char *path, mode_t mode)
{
    return watched_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return watched_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int mkdirat(int folder, const char *given, mode_t mode)
{
    char path[PATH_MAX];
    int done = -1;
    if (!watched_path(folder, given, path) || exists(folder, given)) return REAL(mkdirat)(folder, given, mode);
    if (enter(ON_CREATE) == PASS) {
        done = REAL(mkdirat)(folder, given, mode);
        if (!done) record(MAKE_DIRECTORY, 0, 0, 0, path, "", "", 0);
    }
    leave();
    return done;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---------------------------------------------------------------------------------------------------- writing */

static size_t total_bytes(const struct iovec *parts, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

static void record_write(const char *path, int durable, off_t offset, const struct iovec *parts, int count,
                         size_t bytes)
{
    char *data = malloc(bytes + 1), *end = data;
    if (!data) abort();
    for (int i = 0; i < count && end < data + bytes; i++) {
        size_t room = (size_t)(data + bytes - end), part = parts[i].iov_len < room ? parts[i].iov_len : room;
        memcpy(end, parts[i].iov_base, part);
        end += part;
    }
    record(WRITE, durable, 0, offset, path, "", data, bytes);
    free(data);
}

/* The first half of a write. */
static ssize_t write_half(int fd, const struct iovec *parts, int count, off_t offset)
{
    size_t half = total_bytes(parts, count) / 2, first = parts[0].iov_len;
    struct iovec part = {parts[0].iov_base, first < half || !half ? first : half};
    return REAL(pwritev2)(fd, &part, 1, offset, 0);
}

/* Any write to a watched file; `offset` -1 is the file's own place. */
static ssize_t watched_write(int fd, const struct iovec *parts, int count, off_t offset, int rwf)
{
    int durable = is_durable(fd) || rwf & (RWF_DSYNC | RWF_SYNC);
    enum how shall = enter(durable ? ON_DURABLE : ON_WRITE);
    char now[PATH_MAX];
    ssize_t done = -1;
    /* While the call waited for its turn, another may have removed the file, and written that down before. */
    int named = watched_fd(fd, now);
    if (shall == SHORT) done = write_half(fd, parts, count, offset);
    else if (shall != REFUSE) done = REAL(pwritev2)(fd, parts, count, offset, rwf);
    if (done > 0 && named) {
        off_t at = offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR) - done;
        record_write(now, durable && shall == PASS, at, parts, count, (size_t)done);
    }
    done = report(shall, done);
    leave();
    return done;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    char path[PATH_MAX];
    struct iovec part = {(void *)data, bytes};
    return watched_fd(fd, path) ? watched_write(fd, &part, 1, -1, 0) : REAL(write)(fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    char path[PATH_MAX];
    struct iovec part = {(void *)data, bytes};
    if (!watched_fd(fd, path)) return REAL(pwrite)(fd, data, bytes, offset);
    return watched_write(fd, &part, 1, offset, 0);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return pwrite(fd, data, bytes, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    char path[PATH_MAX];
    return watched_fd(fd, path) ? watched_write(fd, parts, count, -1, 0) : REAL(writev)(fd, parts, count);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int rwf)
{
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return REAL(pwritev2)(fd, parts, count, offset, rwf);
    return watched_write(fd, parts, count, offset, rwf);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int rwf)
{
    return pwritev2(fd, parts, count, offset, rwf);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev2(fd, parts, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev2(fd, parts, count, offset, 0);
}

/* Bytes that the kernel copied by itself are read back from the file. */
static void record_copied(int fd, const char *path, off_t offset, size_t bytes)
{
    char link[64], *data = malloc(bytes + 1);
    int again;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    again = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    if (!data || again < 0 || pread(again, data, bytes, offset) != (ssize_t)bytes) abort();
    syscall(SYS_close, again);
    record(WRITE, is_durable(fd), 0, offset, path, "", data, bytes);
    free(data);
}

ssize_t sendfile(int to, int from, off_t *place, size_t bytes)
{
    char path[PATH_MAX];
    ssize_t done = -1;
    if (!watched_fd(to, path)) return REAL(sendfile)(to, from, place, bytes);
    if (enter(ON_WRITE) == PASS) {
        done = REAL(sendfile)(to, from, place, bytes);
        if (done > 0 && log_fd >= 0) record_copied(to, path, lseek(to, 0, SEEK_CUR) - done, (size_t)done);
    }
    leave();
    return done;
}

ssize_t sendfile64(int to, int from, off64_t *place, size_t bytes) { return sendfile(to, from, place, bytes); }

ssize_t copy_file_range(int from, off64_t *read_at, int to, off64_t *write_at, size_t bytes, unsigned flags)
{
    char path[PATH_MAX];
    ssize_t done = -1;
    if (!watched_fd(to, path)) return REAL(copy_file_range)(from, read_at, to, write_at, bytes, flags);
    if (enter(ON_WRITE) == PASS) {
        done = REAL(copy_file_range)(from, read_at, to, write_at, bytes, flags);
        if (done > 0 && log_fd >= 0)
            record_copied(to, path, (write_at ? *write_at : lseek(to, 0, SEEK_CUR)) - done, (size_t)done);
    }
    leave();
    return done;
}

/* ------------------------------------------------------------------------------------------------------ sizes */

#define RESIZE(call, path_, action, offset_) \
    ({ \
        enum how how_ = enter(ON_SIZE); \
        int done_ = how_ == REFUSE || how_ == SHORT ? -1 : (call); \
        if (!done_) record(action, 0, 0, offset_, path_, "", "", 0); \
        done_ = (int)report(how_, done_); \
        leave(); \
        done_; \
    })

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return REAL(ftruncate)(fd, size);
    return RESIZE(REAL(ftruncate)(fd, size), path, SIZE, size);
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *given, off_t size)
{
    char path[PATH_MAX];
    if (!watched_path(AT_FDCWD, given, path)) return REAL(truncate)(given, size);
    return RESIZE(REAL(truncate)(given, size), path, SIZE, size);
}

int truncate64(const char *path, off64_t size) { return truncate(path, size); }

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    char path[PATH_MAX];
    int done;
    if (!watched_fd(fd, path)) return REAL(posix_fallocate)(fd, offset, bytes);
    done = RESIZE(REAL(posix_fallocate)(fd, offset, bytes), path, GROW, offset + bytes);
    return done < 0 ? fault.error : done;
}

int posix_fallocate64(int fd, off64_t offset, off64_t bytes) { return posix_fallocate(fd, offset, bytes); }

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return REAL(fallocate)(fd, mode, offset, bytes);
    if (mode) abort(); /* punching holes and the like: the model of the disk knows nothing of them */
    return RESIZE(REAL(fallocate)(fd, mode, offset, bytes), path, GROW, offset + bytes);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t bytes) { return fallocate(fd, mode, offset, bytes); }

/* ---------------------------------------------------------------------------------------------------- syncing */

static int watched_sync(int fd, const char *path, enum action action, int (*sync)(int))
{
    enum how how = enter(is_directory(fd) ? ON_DIRECTORY_SYNC : ON_SYNC);
    int done = how == REFUSE || how == SHORT ? -1 : (int)report(how, sync(fd));
    record(action, 0, done ? errno : 0, 0, path, "", "", 0);
    leave();
    return done;
}

int fsync(int fd)
{
    char path[PATH_MAX];
    return watched_fd(fd, path) ? watched_sync(fd, path, SYNC, REAL(fsync)) : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    char path[PATH_MAX];
    return watched_fd(fd, path) ? watched_sync(fd, path, DATA_SYNC, REAL(fdatasync)) : REAL(fdatasync)(fd);
}

/* --------------------------------------------------------------------------------------------- names of files */

#define CHANGE(kind, call, action, path_, target_) \
    ({ \
        int done_ = -1; \
        if (enter(kind) == PASS) { \
            done_ = (call); \
            if (!done_) record(action, 0, 0, 0, path_, target_, "", 0); \
        } \
        leave(); \
        done_; \
    })

int renameat2(int folder, const char *old, int new_folder, const char *new, unsigned flags)
{
    char path[PATH_MAX], target[PATH_MAX];
    int from = watched_path(folder, old, path), to = watched_path(new_folder, new, target);
    if (!from && !to) return REAL(renameat2)(folder, old, new_folder, new, flags);
    if (from != to || flags & RENAME_EXCHANGE) abort(); /* in or out of the directory: nothing a test does */
    return CHANGE(ON_RENAME, REAL(renameat2)(folder, old, new_folder, new, flags), RENAME, path, target);
}

int renameat(int folder, const char *old, int new_folder, const char *new)
{
    return renameat2(folder, old, new_folder, new, 0);
}

int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int folder, const char *old, int new_folder, const char *new, int flags)
{
    char path[PATH_MAX], target[PATH_MAX];
    int from = watched_path(folder, old, path), to = watched_path(new_folder, new, target);
    if (!from || !to) return REAL(linkat)(folder, old, new_folder, new, flags);
    return CHANGE(ON_RENAME, REAL(linkat)(folder, old, new_folder, new, flags), LINK, path, target);
}

int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int folder, const char *given, int flags)
{
    char path[PATH_MAX];
    if (!watched_path(folder, given, path)) return REAL(unlinkat)(folder, given, flags);
    return CHANGE(ON_REMOVE, REAL(unlinkat)(folder, given, flags), REMOVE, path, "");
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

/* ----------------------------------------------------------------------- what would change a file unrecorded */

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    char path[PATH_MAX];
    int writable = protection & PROT_WRITE && (flags & MAP_TYPE) != MAP_PRIVATE && !(flags & MAP_ANONYMOUS);
    if (writable && watched_fd(fd, path) && !is_lock_file(path)) {
        lock_order();
        record(MAPPED, 0, 0, 0, path, "", "", 0);
        unlock_order();
    }
    return REAL(mmap)(address, bytes, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off64_t offset)
{
    return mmap(address, bytes, protection, flags, fd, offset);
}

/* LMDB calls it with a writable map alone, which nobody shall ask for. */
int msync(void *address, size_t bytes, int flags)
{
    lock_order();
    record(MAPPED, 0, 0, 0, "msync", "", "", 0);
    unlock_order();
    return REAL(msync)(address, bytes, flags);
}
