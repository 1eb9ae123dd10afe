/* CPython at build time: see interpreter.c. */
#ifndef METALAUNCHER_INTERPRETER_H
#define METALAUNCHER_INTERPRETER_H

#include <Python.h>

/* Ends the build with a message. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the build with the exception that is set, if there is no result. */
void check(const void *result, const char *what);

void initialise(void);

#endif
