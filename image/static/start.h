/* What the resumed process and the build of its snapshot share: see start.c. */
#ifndef METALAUNCHER_START_H
#define METALAUNCHER_START_H

#include <Python.h>

#if defined __x86_64__
#include "arch/x86_64.h"
#elif defined __aarch64__
#include "arch/aarch64.h"
#endif

/* C recursion that CPython allows itself: over 1 KB each of our stack (layout.ld); its own number assumes 8 MB. */
#define C_RECURSION_LIMIT 400

/* What the snapshot holds for start-up; set by snapshot.c. */
struct resumption {
    PyThreadState *thread; /* detached; NULL while the snapshot is being built */
    PyObject *start;       /* metalauncher.__main__.start */
    PyObject *become;      /* the built-in function handed to it */
    const char *hot_end;   /* where the data ends that a dispatch touches */
};
extern struct resumption resumption;

PyObject *make_become(void);

/* Prints the one line and ends the process with exit code 70. `detail` may be NULL. */
_Noreturn void internal_error(const char *what, const char *detail);

/* Builds the snapshot (snapshot.c); its code is not in the result. */
int build_snapshot(int argc, char **argv);

#endif
