/*
 * The program that the compiler's profile is taken from: initialises CPython as snapshot.c does, and runs what
 * training.py prepares. Apart from start.c and snapshot.c, so that a change there needs no other CPython.
 */
#include "interpreter.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "profile.h"
#include "start.h"

char heap_start[32 << 20]; /* memory.c takes blocks before it for those of a snapshot */

_Noreturn void internal_error(const char *what, const char *detail)
{
    fail("%s %s", what, detail == NULL ? "" : detail);
}

/*
 * The profile must be the same on every machine, so what is counted may depend neither on the numbers that a file system
 * has for its files nor on the order of its directories. The linker puts these in place of the C library's (--wrap).
 */
int __real_fstat(int descriptor, struct stat *status), __real_stat(const char *path, struct stat *status);
struct dirent *__real_readdir(DIR *directory);

static int without_numbers(int result, struct stat *status)
{
    if (result == 0)
        *status = (struct stat){
            .st_mode = (status->st_mode & S_IFMT) | 0644,
            .st_size = S_ISREG(status->st_mode) ? status->st_size : 4096,
            .st_nlink = 1,
            .st_ino = 1000,
        };
    return result;
}

int __wrap_fstat(int descriptor, struct stat *status)
{
    return without_numbers(__real_fstat(descriptor, status), status);
}

int __wrap_stat(const char *path, struct stat *status)
{
    return without_numbers(__real_stat(path, status), status);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dirent *)a)->d_name, ((const struct dirent *)b)->d_name);
}

/* Reads a directory as a whole and gives out what is in it by name; one directory at a time. */
struct dirent *__wrap_readdir(DIR *directory)
{
    static struct dirent entries[16];
    static size_t count, next;
    if (next == count) {
        count = next = 0;
        for (struct dirent *entry; (entry = __real_readdir(directory)) != NULL; count++) {
            if (count == sizeof entries / sizeof *entries)
                fail("the training has too many files");
            entries[count] = (struct dirent){.d_ino = 1000, .d_type = *entry->d_name == '.' ? DT_DIR : DT_REG};
            strcpy(entries[count].d_name, entry->d_name);
        }
        qsort(entries, count, sizeof *entries, by_name);
        return count == 0 ? NULL : &entries[next++];
    }
    return &entries[next++];
}

int main(int argc, char **argv)
{
    if (argc != 2)
        fail("usage: training RESULT");
    static char *no_environment[] = {NULL};
    environ = no_environment;
    memory_seal(heap_start, heap_start + sizeof heap_start); /* the same addresses in every run, so the same profile */
    initialise();
    PyObject *driver = PyImport_ImportModule("metalauncher_driver");
    check(driver, "training.py");
    PyObject *train = PyObject_CallMethod(driver, "prepare", NULL);
    check(train, "prepare()");
    profile_reset();
    check(PyObject_CallNoArgs(train), "training");
    profile_write(argv[1]);
    _exit(0);
}
