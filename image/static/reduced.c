/*
 * What of CPython the executable does without; the linker takes these definitions before the library's own.
 *
 * Everything is compiled before the snapshot is made, so compile(), eval() of text and exec() of text are not needed:
 * parser, syntax trees and compiler (600 KB) give way to functions that raise an exception. And of the built-in modules
 * only those are linked that the application, or what it imports, needs; any other import is an ImportError.
 */
#include <Python.h>

#include "internal/pycore_ast.h"
#include "internal/pycore_compile.h"
#include "internal/pycore_import.h"
#include "internal/pycore_parser.h"

static void *no_compiler(void)
{
    PyErr_SetString(PyExc_SystemError, "this executable can't compile Python code");
    return NULL;
}

mod_ty _PyParser_ASTFromString(const char *Py_UNUSED(text), PyObject *Py_UNUSED(filename), int Py_UNUSED(mode),
                               PyCompilerFlags *Py_UNUSED(flags), PyArena *Py_UNUSED(arena))
{
    return no_compiler();
}

mod_ty _PyParser_ASTFromFile(FILE *Py_UNUSED(file), PyObject *Py_UNUSED(filename), const char *Py_UNUSED(encoding),
                             int Py_UNUSED(mode), const char *Py_UNUSED(ps1), const char *Py_UNUSED(ps2),
                             PyCompilerFlags *Py_UNUSED(flags), int *Py_UNUSED(error), PyArena *Py_UNUSED(arena))
{
    return no_compiler();
}

mod_ty _PyParser_InteractiveASTFromFile(FILE *Py_UNUSED(file), PyObject *Py_UNUSED(filename),
                                        const char *Py_UNUSED(encoding), int Py_UNUSED(mode),
                                        const char *Py_UNUSED(ps1), const char *Py_UNUSED(ps2),
                                        PyCompilerFlags *Py_UNUSED(flags), int *Py_UNUSED(error),
                                        PyObject **Py_UNUSED(source), PyArena *Py_UNUSED(arena))
{
    return no_compiler();
}

PyCodeObject *_PyAST_Compile(struct _mod *Py_UNUSED(module), PyObject *Py_UNUSED(filename),
                             PyCompilerFlags *Py_UNUSED(flags), int Py_UNUSED(optimize), PyArena *Py_UNUSED(arena))
{
    return no_compiler();
}

int _PyCompile_AstOptimize(struct _mod *Py_UNUSED(module), PyObject *Py_UNUSED(filename),
                           PyCompilerFlags *Py_UNUSED(flags), int Py_UNUSED(optimize), PyArena *Py_UNUSED(arena))
{
    no_compiler();
    return -1;
}

int PyAST_Check(PyObject *Py_UNUSED(object))
{
    return 0; /* there is no module _ast to make one with */
}

PyObject *PyAST_mod2obj(mod_ty Py_UNUSED(module))
{
    return no_compiler();
}

mod_ty PyAST_obj2mod(PyObject *Py_UNUSED(object), PyArena *Py_UNUSED(arena), int Py_UNUSED(mode))
{
    return no_compiler();
}

int _PyAST_Validate(mod_ty Py_UNUSED(module))
{
    no_compiler();
    return 0;
}

void _PyAST_Fini(PyInterpreterState *Py_UNUSED(interpreter)) {}

int PyCompile_OpcodeStackEffect(int Py_UNUSED(opcode), int Py_UNUSED(argument))
{
    return PY_INVALID_STACK_EFFECT; /* asked for when a debugger sets frame.f_lineno */
}

/* What the executable has of frozen modules, once they are imported (Python/frozen.c). */
const struct _frozen no_frozen_modules[] = {{0}};
const struct _module_alias no_module_aliases[] = {{0}};

/* Modules/config.c */
PyObject *PyInit__abc(void), *PyInit__codecs(void), *PyInit__collections(void), *PyInit__datetime(void),
    *PyInit__functools(void), *PyInit__imp(void), *PyInit__operator(void), *PyInit__sha2(void), *PyInit__signal(void),
    *PyInit__sre(void), *PyInit__thread(void), *PyInit__weakref(void), *PyInit_errno(void), *PyInit_itertools(void),
    *PyInit_posix(void), *PyInit_tomli_parser(void), *_PyWarnings_Init(void), *PyMarshal_Init(void);

struct _inittab _PyImport_Inittab[] = {
    {"_abc", PyInit__abc},
    {"_codecs", PyInit__codecs},
    {"_collections", PyInit__collections},
    {"_datetime", PyInit__datetime},
    {"_functools", PyInit__functools},
    {"_imp", PyInit__imp},
    {"_operator", PyInit__operator},
    {"_sha2", PyInit__sha2},
    {"_signal", PyInit__signal},
    {"_sre", PyInit__sre},
    {"_thread", PyInit__thread},
    {"_warnings", _PyWarnings_Init},
    {"_weakref", PyInit__weakref},
    {"builtins", NULL},
    {"errno", PyInit_errno},
    {"itertools", PyInit_itertools},
    {"marshal", PyMarshal_Init},
    {"posix", PyInit_posix},
    {"sys", NULL},
    {"tomli._parser", PyInit_tomli_parser},
    {NULL, NULL},
};
