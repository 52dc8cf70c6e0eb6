/* libFuzzer around an embedded Python: every input goes to one of `tests.fuzz.targets`, named by
   the file name of this program. The extensions are compiled with the same sanitizers and count
   their branches, which is what guides the fuzzer. An exception is a finding. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static PyObject *target, *twin;

static void need(int condition) {
    if (condition) return;
    if (PyErr_Occurred()) PyErr_Print();
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *slash = strrchr((*argv)[0], '/');
    const char *name = slash == NULL ? (*argv)[0] : slash + 1;
    PyObject *module, *targets, *twins;
    PyConfig config;
    (void)argc;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.parse_argv = 0;
    /* The interpreter whose environment this is: it finds the packages beside that. */
    need(!PyStatus_Exception(PyConfig_SetBytesString(&config, &config.program_name, PYTHON)));
    need(!PyStatus_Exception(Py_InitializeFromConfig(&config)));
    PyConfig_Clear(&config);
    need((module = PyImport_ImportModule("tests.fuzz.targets")) != NULL);
    need((targets = PyObject_GetAttrString(module, "TARGETS")) != NULL);
    need((target = PyMapping_GetItemString(targets, name)) != NULL);
    need((twins = PyImport_ImportModule("h2ws_fast._twins")) != NULL);
    need((twin = PyObject_CallMethod(twins, "load", "s", "compiled")) != NULL);
    Py_DECREF(module);
    Py_DECREF(targets);
    Py_DECREF(twins);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    PyObject *input = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    PyObject *seen;
    need(input != NULL);
    seen = PyObject_CallFunctionObjArgs(target, twin, input, NULL);
    need(seen != NULL);
    Py_DECREF(seen);
    Py_DECREF(input);
    return 0;
}
