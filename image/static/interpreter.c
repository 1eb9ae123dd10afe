/* Initialises CPython at build time, for the snapshot and for the training run. Nothing of this is in the result. */
#include "interpreter.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal/pycore_codecs.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_pylifecycle.h"

#include "memory.h"

extern const struct _frozen application_modules[]; /* frozen.c */

_Noreturn void fail(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "static: %s\n", text);
    _exit(1);
}

void check(const void *result, const char *what)
{
    if (result != NULL)
        return;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *text = exception == NULL ? NULL : PyObject_Str(exception);
    for (PyObject *tb = exception == NULL ? NULL : PyException_GetTraceback(exception); tb != NULL && tb != Py_None;
         tb = (PyObject *)((PyTracebackObject *)tb)->tb_next) {
        PyCodeObject *code = PyFrame_GetCode(((PyTracebackObject *)tb)->tb_frame);
        dprintf(STDERR_FILENO, "  %s, line %d, in %s\n", PyUnicode_AsUTF8(code->co_filename),
                PyCode_Addr2Line(code, ((PyTracebackObject *)tb)->tb_lasti), PyUnicode_AsUTF8(code->co_name));
    }
    fail("%s: %s: %s", what, exception == NULL ? "?" : Py_TYPE(exception)->tp_name,
         text == NULL ? "?" : PyUnicode_AsUTF8(text));
}

static void check_status(PyStatus status)
{
    if (PyStatus_Exception(status))
        fail("%s: %s", status.func == NULL ? "?" : status.func, status.err_msg == NULL ? "?" : status.err_msg);
}

/*
 * Initialises CPython's core alone (_init_main = 0: no path-based imports, no sys.stdout, nothing read from disk), deaf
 * to the environment and to the machine's locale, with a fixed hash seed.
 */
void initialise(void)
{
    /* The module _signal keeps what it finds; a shell's background jobs, say, ignore SIGINT. */
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);

    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    before.configure_locale = before.coerce_c_locale = before.use_environment = before.parse_argv = 0;
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    check_status(Py_PreInitialize(&before));

    PyObjectArenaAllocator arenas = {NULL, memory_allocate_arena, memory_free_arena};
    PyObject_SetArenaAllocator(&arenas);

    PyImport_FrozenModules = application_modules;

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config._init_main = 0;
    config.site_import = config.user_site_directory = config.write_bytecode = 0;
    config.install_signal_handlers = config.use_environment = config.parse_argv = config.pathconfig_warnings = 0;
    config.buffered_stdio = config.code_debug_ranges = 0;
    config.optimization_level = 2;
    config.use_hash_seed = 1;
    config.hash_seed = 0;
    config.module_search_paths_set = 1;
    struct {
        wchar_t **where;
        const wchar_t *what;
    } strings[] = {
        {&config.program_name, L"metalauncher"}, {&config.executable, L"/usr/bin/metalauncher"},
        {&config.base_executable, L"/usr/bin/metalauncher"}, {&config.home, L"/"},
        {&config.prefix, L"/"}, {&config.exec_prefix, L"/"}, {&config.base_prefix, L"/"},
        {&config.base_exec_prefix, L"/"}, {&config.stdlib_dir, L"/"},
        {&config.stdio_encoding, L"utf-8"}, {&config.stdio_errors, L"strict"},
        {&config.filesystem_encoding, L"utf-8"}, {&config.filesystem_errors, L"surrogateescape"},
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        check_status(PyConfig_SetString(&config, strings[i].where, strings[i].what));
    check_status(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);

    /*
     * What core initialisation leaves out and is used: the state of the module _signal (no handler is installed), and
     * the codec registry, in which decode() looks up error handlers.
     */
    if (_PySignal_Init(0) < 0)
        check(NULL, "_PySignal_Init");
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    if (!interpreter->codecs.initialized)
        check_status(_PyCodec_InitRegistry(interpreter));
}
