/*
 * Start-up of the static executable: resume the interpreter that the build has initialised, call
 * metalauncher.__main__.start(argv, environ, execfn, become), exit with what it returns.
 *
 * When main() runs, the C library has initialised itself anew (its own variables, thread-local storage), while every
 * other variable and the heap are as the build left them. What ties the two together is the thread state:
 *   - CPython keeps the current one in a thread-local variable (Python/pystate.c, _Py_tss_tstate), empty now;
 *     PyEval_RestoreThread sets it and takes the GIL, which the build released with PyEval_SaveThread;
 *   - the id of the main thread is the address of musl's built-in thread descriptor, the same in every run.
 * Signals: no handler is installed (PyConfig.install_signal_handlers = 0), so none is to be restored.
 */
#include "start.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXIT_INTERNAL 70

struct resumption resumption;

static struct {
    int argc;
    char **argv;
} original;

/*
 * Says in the file's first page whose it is (the ELF specification's notes): a copy under another name, such as an exporter
 * makes that is given the run image's link as its launcher, can so be told from a launcher.
 */
__attribute__((used, section(".note.metalauncher"), aligned(4))) static const struct {
    Elf64_Nhdr head;
    char name[16];
} mark = {{.n_namesz = sizeof "metalauncher", .n_descsz = 0, .n_type = 1}, "metalauncher"};

static void print(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(STDERR_FILENO, text, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        left -= (size_t)written;
    }
}

_Noreturn void internal_error(const char *what, const char *detail)
{
    print("ERROR: metalauncher: internal error: ");
    print(what);
    if (detail != NULL && *detail != '\0') {
        print(": ");
        print(detail);
    }
    print("\n");
    _exit(EXIT_INTERNAL);
}

/* Instead of the C library's: Py_FatalError and mypyc's CPyError_OutOfMemory end here, after a line of their own. */
_Noreturn void abort(void)
{
    internal_error("aborted", NULL);
}

/*
 * Instead of the C library's, which caches the address of the kernel's vDSO: one from the build's machine must never
 * be in the snapshot. While that is built the time stands still, for the sake of identical builds.
 */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (resumption.thread == NULL) {
        *now = (struct timespec){.tv_sec = 1000000000};
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}

/*
 * The system calls that look at files are those of a Go program, for the profile that a container runs under may have been
 * recorded from one: openat, newfstatat and readlinkat, never open, stat and readlink.
 * Also, the C library's open() sets close-on-exec a second time, for kernels older than 2.6.23.
 */
int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    /* O_TMPFILE holds O_DIRECTORY's bit: of the two, only the whole has a mode. */
    mode_t mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* What stat() and lstat() call; on a 64-bit machine musl's struct is the kernel's. */
int fstatat(int directory, const char *restrict path, struct stat *restrict status, int flags)
{
    return (int)syscall(SYS_newfstatat, directory, path, status, flags);
}

ssize_t readlink(const char *restrict path, char *restrict target, size_t size)
{
    return syscall(SYS_readlinkat, AT_FDCWD, path, target, size);
}

/* The ids were passed on the stack: no need to ask the kernel. */

uid_t getuid(void)
{
    return (uid_t)getauxval(AT_UID);
}

uid_t geteuid(void)
{
    return (uid_t)getauxval(AT_EUID);
}

gid_t getgid(void)
{
    return (gid_t)getauxval(AT_GID);
}

gid_t getegid(void)
{
    return (gid_t)getauxval(AT_EGID);
}

/*
 * The file's entry point, in its first page. Where a page of the file is not in memory, touching it makes the kernel read
 * as much around it as the disk's read-ahead says, be it all of the file, and a start would wait for what it does not need.
 * Except if it looks as if the file is read in its order: then the kernel reads ahead in windows that grow, each when the one
 * before is entered (the kernel's mm/filemap.c, do_async_mmap_readahead; mm/readahead.c). So this touches what a dispatch
 * needs in the order of the file: the page behind the first, where the first window of four pages has its mark, then
 * one page in eight, which meets the marks of all windows, as their sizes are powers of two.
 * Where all is in memory, it maps the pages that are needed anyway.
 */
#define FIRST __attribute__((used, section(".text.first")))
#define PAGE 4096 /* the least that a page can be */

extern const char __ehdr_start[], text_end[], data_start[]; /* layout.ld */

static inline void touch(const char *address)
{
    (void)*(const volatile char *)address;
}

FIRST static void touch_in_order(void)
{
    const char *text = __ehdr_start;
    const char *data = data_start - ((size_t)(text_end - text) + SEGMENT - 1) / SEGMENT * SEGMENT;
    size_t offset = 4 * PAGE;
    touch(text + PAGE);
    for (; text + offset < text_end; offset += 8 * PAGE)
        touch(text + offset);
    while (SEGMENT > PAGE && data + offset < data_start) /* what fills up the text's last page */
        offset += 8 * PAGE;
    for (; data + offset < resumption.hot_end; offset += 8 * PAGE)
        touch(data + offset);
}

FIRST __attribute__((naked)) void first(void)
{
    __asm__(ENTER);
}

/* Prints the exception that start() ended with, as one line. */
static _Noreturn void report_exception(void)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (exception == NULL)
        internal_error("no result and no exception", NULL);
    char detail[512] = "";
    PyObject *text = PyObject_Str(exception);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    if (utf8 != NULL)
        strncpy(detail, utf8, sizeof detail - 1);
    for (char *c = detail; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    internal_error(Py_TYPE(exception)->tp_name, detail);
}

/* Removes the entries that begin with `prefix` from the environment, in place; the order of the others stays. */
static void remove_variables(const char *prefix)
{
    char **kept = environ;
    for (char **entry = environ; *entry != NULL; entry++)
        if (strncmp(*entry, prefix, strlen(prefix)) != 0)
            *kept++ = *entry;
    *kept = NULL;
}

/* become(path: bytes, skip: int) -> int: execs path with the original arguments from the skip-th on; the errno. */
static PyObject *become(PyObject *Py_UNUSED(self), PyObject *args)
{
    const char *path;
    int skip;
    if (!PyArg_ParseTuple(args, "yi:become", &path, &skip))
        return NULL;
    if (skip < 0 || skip > original.argc) {
        PyErr_SetString(PyExc_ValueError, "become: skip out of range");
        return NULL;
    }
    remove_variables("METALAUNCHER_");
    execve(path, original.argv + skip, environ);
    return PyLong_FromLong(errno);
}

static PyMethodDef become_definition = {"become", become, METH_VARARGS, NULL};

PyObject *make_become(void)
{
    return PyCFunction_New(&become_definition, NULL);
}

static PyObject *list_of_bytes(char **strings)
{
    Py_ssize_t count = 0;
    while (strings[count] != NULL)
        count++;
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = PyBytes_FromString(strings[i]);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static _Noreturn void resume(void)
{
    PyEval_RestoreThread(resumption.thread);
    /*
     * Set-id, or file capabilities: the environment is somebody else's, and may say neither where to look for launchers
     * nor which file to write.
     */
    if (getauxval(AT_SECURE) != 0) {
        remove_variables("METALAUNCHER_ROOT=");
        remove_variables("METALAUNCHER_TERMINATION_LOG=");
    }
    const char *execfn = (const char *)getauxval(AT_EXECFN);
    PyObject *arguments[] = {
        list_of_bytes(original.argv),
        list_of_bytes(environ),
        PyBytes_FromString(execfn == NULL ? "" : execfn),
        resumption.become,
    };
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        if (arguments[i] == NULL)
            report_exception();
    PyObject *result = PyObject_Vectorcall(resumption.start, arguments, sizeof arguments / sizeof *arguments, NULL);
    if (result == NULL)
        report_exception();
    if (!PyLong_CheckExact(result))
        internal_error("start() returned no int but", Py_TYPE(result)->tp_name);
    long code = PyLong_AsLong(result);
    if (code < 0 || code > 255)
        internal_error("start() returned no exit code", NULL);
    _exit((int)code);
}

/*
 * Calls `function` on a stack of our own: the kernel's may be limited to a few KB (RLIMIT_STACK), and then hostile
 * nesting would end in a segmentation fault before CPython's own limit.
 */
static _Noreturn void on_own_stack(void (*function)(void))
{
    extern char stack_end[]; /* layout.ld */
    call_on_stack(stack_end, function);
}

int main(int argc, char **argv)
{
    if (resumption.thread == NULL)
        return build_snapshot(argc, argv);
    original.argc = argc;
    original.argv = argv;
    on_own_stack((void (*)(void))resume);
}
