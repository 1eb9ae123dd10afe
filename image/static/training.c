/*
 * The program that the compiler's profile is taken from: initialises CPython as snapshot.c does, and runs what
 * training.py prepares. Apart from start.c and snapshot.c, so that a change there needs no other CPython.
 */
#include "interpreter.h"

#include <unistd.h>

#include "memory.h"
#include "start.h"

extern char heap_start[], heap_end[]; /* layout.ld */
void __gcov_reset(void), __gcov_dump(void);

_Noreturn void internal_error(const char *what, const char *detail)
{
    fail("%s %s", what, detail == NULL ? "" : detail);
}

int main(void)
{
    static char *no_environment[] = {NULL};
    environ = no_environment;
    memory_seal(heap_start, heap_end); /* the same addresses in every run, so the same profile */
    initialise();
    PyObject *driver = PyImport_ImportModule("metalauncher_driver");
    check(driver, "training.py");
    PyObject *train = PyObject_CallMethod(driver, "prepare", NULL);
    check(train, "prepare()");
    __gcov_reset();
    check(PyObject_CallNoArgs(train), "training");
    __gcov_dump();
    _exit(0);
}
