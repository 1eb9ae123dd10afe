/*
 * tomli._parser as a built-in module: mypyc's C, which expects to lie in a shared library that a small extension
 * module loads. Here its three parts are called in the order in which those two would.
 */
#include <Python.h>

PyObject *PyInit_tomli__mypyc(void);         /* the library: strings and globals */
PyObject *CPyInitOnly_tomli____parser(void); /* the module, empty */
int CPyExec_tomli____parser(PyObject *module);
PyObject *PyInit_tomli_parser(void);

PyObject *PyInit_tomli_parser(void)
{
    if (PyInit_tomli__mypyc() == NULL)
        return NULL;
    PyObject *module = CPyInitOnly_tomli____parser();
    if (module == NULL)
        return NULL;
    if (PyDict_SetItemString(PyImport_GetModuleDict(), "tomli._parser", module) < 0)
        return NULL;
    if (PyModule_AddStringConstant(module, "__package__", "tomli") < 0 || CPyExec_tomli____parser(module) < 0)
        return NULL;
    return module;
}
