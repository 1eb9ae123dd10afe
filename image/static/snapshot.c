/*
 * Builds the snapshot: initialises CPython, lets driver.py import and warm up the application, and writes an ELF file
 * that holds the memory as it then is. Nothing of this file is in the result (layout.ld, .build). It runs three times:
 *
 *     PROGRAM survey "" PLAN       finds out which allocations the result needs in the end
 *     PROGRAM trace PLAN PLAN      finds out which of those a dispatch reads and writes, and sorts the plan by it
 *     PROGRAM write PLAN RESULT    lays them out side by side in that order, all others elsewhere; writes the executable
 *
 * The plan is a list of allocations by number. That works because every run allocates exactly alike; if one does not,
 * it says so and fails.
 *
 * "Needs" is decided conservatively: a block stays if any two-byte-aligned word of the data segment, or of a block that
 * stays, is an address inside it. (Two bytes: code objects hold pointers in their inline caches, Include/cpython/code.h.)
 */
#include <Python.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/pycore_gc.h"
#include "internal/pycore_import.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"

#include "interpreter.h"
#include "memory.h"
#include "start.h"

#define RESERVE ((size_t)1 << 20) /* zeroed memory behind the snapshot, for start-up to allocate from */
#define PAGE ((size_t)4096) /* of the machine that builds, where blocks are traced by pages */
#define SPARE_SIZE ((size_t)256 << 20)
#define MAX_BLOCKS (1u << 20)
#define MAX_SEGMENTS 8
#define END_OF_TOUCHED 0 /* in place of a block's serial number, which begin at 1 */

extern char __ehdr_start[], text_end[], cold_start[], cold_end[], data_start[], heap_start[], heap_end[]; /* layout.ld */
extern char cold_data_start[], cold_data_end[];
extern char build_start[], build_end[];
extern const struct _frozen no_frozen_modules[]; /* reduced.c */
extern const struct _module_alias no_module_aliases[];

/* ---- Blocks ------------------------------------------------------------------------------------------------- */

struct block {
    char *start; /* its header */
    char *place; /* where the plan wants it; NULL if it is not in the plan */
    uint32_t units, planned_units;
    uint32_t marked;
    const char *found_at; /* the first word seen that points into it */
    enum { UNTOUCHED, READ, WRITTEN } touched;
};

struct planned {
    uint32_t serial, units;
};

/* Blocks that the result does not get. (What is mistaken for an address in its heap does no harm: all there stay anyway.) */
static char *const spare = (char *)SPARE_HEAP;
static char *spare_next;
static char *hot_end, *snapshot_end; /* where what a dispatch touches ends, and where all ends */
static struct block blocks[MAX_BLOCKS]; /* by serial, from 1 */
static uint32_t block_count;
static struct planned plan[MAX_BLOCKS]; /* in the order of places */
static uint32_t plan_length;
static uint32_t spare_owner[SPARE_SIZE / UNIT], heap_owner[(32u << 20) / UNIT]; /* serial, by unit of memory */

/* Returns the next multiple of a power of two. */
static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) & ~(to - 1);
}

static char *page_after(char *address)
{
    return (char *)round_up((uintptr_t)address, PAGE);
}

/* Returns where a block can start whose payload is aligned. */
static char *block_start(char *address)
{
    return address + UNIT - sizeof(struct header);
}

/* Returns the entry that says which block owns the unit at this address, NULL for an address outside of both areas. */
static uint32_t *owner_of(uintptr_t address)
{
    if (address >= (uintptr_t)spare && address < (uintptr_t)spare + SPARE_SIZE)
        return &spare_owner[(address + sizeof(struct header) - (uintptr_t)spare) / UNIT];
    if (address >= (uintptr_t)heap_start && address < (uintptr_t)heap_end)
        return &heap_owner[(address + sizeof(struct header) - (uintptr_t)heap_start) / UNIT];
    return NULL;
}

static void *allocate_block(uint32_t units)
{
    uint32_t serial = ++block_count;
    if (serial >= MAX_BLOCKS)
        fail("too many allocations");
    struct block *block = &blocks[serial];
    block->units = units;
    block->start = block->place;
    if (block->place == NULL) {
        block->start = spare_next;
        spare_next += (size_t)units * UNIT;
        if (spare_next + UNIT > spare + SPARE_SIZE)
            fail("the heap is too small");
    } else if (block->planned_units != units) {
        fail("allocation %u is of %u units here, of %u in the plan", serial, units, block->planned_units);
    }
    for (uint32_t *owner = owner_of((uintptr_t)block->start), i = 0; i < units; i++)
        owner[i] = serial;
    struct header *header = (struct header *)block->start;
    *header = (struct header){.units = units};
    return header + 1; /* zeroed: no memory is given out twice here */
}

/* Reads the plan and gives each of its blocks its place: in the result's heap, or to trace them, on pages of their own. */
static void read_plan(const char *path, int on_own_pages)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        fail("cannot open %s", path);
    size_t filled = 0;
    for (ssize_t got; (got = read(fd, (char *)plan + filled, sizeof plan - filled)) > 0;)
        filled += (size_t)got;
    close(fd);
    plan_length = (uint32_t)(filled / sizeof *plan);
    char *next = block_start(on_own_pages ? spare : heap_start);
    for (struct planned *entry = plan; entry < plan + plan_length; entry++) {
        if (entry->serial == END_OF_TOUCHED) {
            hot_end = next;
            continue;
        }
        blocks[entry->serial].place = next;
        blocks[entry->serial].planned_units = entry->units;
        next += (size_t)entry->units * UNIT;
        if (on_own_pages)
            next = block_start(page_after(next));
    }
    if (on_own_pages)
        spare_next = next;
    else
        snapshot_end = (char *)round_up((uintptr_t)next, SEGMENT);
    if (snapshot_end > heap_end)
        fail("the heap is too small");
}

static void write_all(int fd, const void *memory, size_t size)
{
    for (const char *next = memory; size > 0;) {
        ssize_t written = write(fd, next, size);
        if (written <= 0)
            fail("write failed");
        next += written;
        size -= (size_t)written;
    }
}

static int create(const char *path)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0755);
    if (fd < 0)
        fail("cannot create %s", path);
    return fd;
}

static void write_plan(const char *path)
{
    int fd = create(path);
    write_all(fd, plan, plan_length * sizeof *plan);
    close(fd);
}

/* ---- First run: which blocks stay -------------------------------------------------------------------------- */

static uint32_t pending[MAX_BLOCKS]; /* marked, not yet searched */
static uint32_t pending_count;

/* Marks every block that a word of this memory points into. */
static void mark_from(const char *from, const char *to)
{
    for (; from + sizeof(uintptr_t) <= to; from += 2) {
        uintptr_t word;
        memcpy(&word, from, sizeof word);
        uint32_t *owner = owner_of(word);
        if (owner != NULL && *owner != 0 && !blocks[*owner].marked) {
            blocks[*owner].marked = 1;
            blocks[*owner].found_at = from;
            pending[pending_count++] = *owner;
        }
    }
}

/*
 * Marks what the result needs. The table of interned strings and the type cache need nothing themselves: what only they
 * point to is removed from them, by drop_unused().
 */
static void mark(const char *interned_table, const struct type_cache *type_cache)
{
    for (uint32_t i = 1; i <= block_count; i++)
        blocks[i].marked = 0;
    mark_from(data_start, (const char *)type_cache);
    mark_from((const char *)(type_cache + 1), heap_start);
    mark_from(cold_data_start, cold_data_end);
    while (pending_count > 0) {
        struct block *block = &blocks[pending[--pending_count]];
        if (interned_table < block->start || interned_table >= block->start + (size_t)block->units * UNIT)
            mark_from(block->start + sizeof(struct header), block->start + (size_t)block->units * UNIT);
    }
}

static int is_needed(const void *pointer)
{
    uint32_t *owner = owner_of((uintptr_t)pointer);
    return owner == NULL || *owner == 0 || blocks[*owner].marked;
}

static void write_survey(const char *path)
{
    size_t units = 0;
    for (uint32_t serial = 1; serial <= block_count; serial++)
        if (blocks[serial].marked) {
            plan[plan_length++] = (struct planned){serial, blocks[serial].units};
            units += blocks[serial].units;
        }
    write_plan(path);
    dprintf(STDOUT_FILENO, "%u of %u allocations stay, %zu KB\n", plan_length, block_count, units * UNIT / 1024);
}

/* ---- Second run: which of them a dispatch uses, in which order ---------------------------------------------- */

static const char *trace_result;
static struct planned order[MAX_BLOCKS]; /* as touched first */
static uint32_t order_length;

/* Changes the protection of all pages of a block. */
static void protect(const struct block *block, int protection)
{
    char *first = (char *)((uintptr_t)block->start & ~(PAGE - 1));
    size_t size = (size_t)(page_after(block->start + (size_t)block->units * UNIT) - first);
    if (mprotect(first, size, protection) != 0)
        fail("mprotect failed");
}

/* Notes that a block is read, when it is first touched, or written, when it is touched again. */
static void on_fault(int Py_UNUSED(signal), siginfo_t *info, void *Py_UNUSED(context))
{
    uint32_t *owner = owner_of((uintptr_t)info->si_addr);
    struct block *block = owner == NULL ? NULL : &blocks[*owner];
    if (block == NULL || block->place == NULL || block->touched == WRITTEN)
        fail("a fault at %p", info->si_addr);
    if (block->touched == UNTOUCHED)
        order[order_length++] = (struct planned){*owner, block->units};
    block->touched++;
    protect(block, block->touched == READ ? PROT_READ : PROT_READ | PROT_WRITE);
}

/* In place of become(): the dispatch is over. Writes the plan anew: what was written, what was read, what was neither. */
static PyObject *end_trace(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    struct planned *next = plan;
    for (int touched = WRITTEN; touched >= READ; touched--)
        for (uint32_t i = 0; i < order_length; i++)
            if ((int)blocks[order[i].serial].touched == touched)
                *next++ = order[i];
    *next++ = (struct planned){END_OF_TOUCHED, 0};
    plan_length++;
    for (uint32_t serial = 1; serial <= block_count; serial++)
        if (blocks[serial].place != NULL && blocks[serial].touched == UNTOUCHED)
            *next++ = (struct planned){serial, blocks[serial].units};
    write_plan(trace_result);
    dprintf(STDOUT_FILENO, "a dispatch touches %u of them\n", order_length);
    _exit(0);
}

static _Noreturn void trace(const char *path)
{
    static PyMethodDef definition = {"end_trace", end_trace, METH_VARARGS, NULL};
    trace_result = path;
    PyEval_RestoreThread(resumption.thread);
    PyObject *become = PyCFunction_New(&definition, NULL);
    PyObject *arguments = Py_BuildValue("([y][yyyy]yN)", "/cnb/process/web", "METALAUNCHER_ROOT=/proc/self/cwd",
                                        "CNB_LAYERS_DIR=/proc/self/cwd/layers", "CNB_PLATFORM_API=0.12", "PATH=/bin",
                                        "/proc/self/exe", become);
    check(arguments, "trace");
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    for (uint32_t i = 0; i < plan_length; i++)
        protect(&blocks[plan[i].serial], PROT_NONE);
    PyObject_CallObject(resumption.start, arguments);
    fail("the traced dispatch did not come to its end");
}

/* ---- Immortal objects --------------------------------------------------------------------------------------- */

/*
 * Makes an object, and all that it leads to, immortal (Include/object.h): nothing then writes to its reference count,
 * so the pages of the snapshot that are only read are never copied.
 */
static int immortalise(PyObject *object, void *Py_UNUSED(unused));

static void immortalise_all(PyObject *const *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        immortalise(objects[i], NULL);
}

static void immortalise_parts(PyObject *object)
{
    if (PyObject_IS_GC(object) && Py_TYPE(object)->tp_traverse != NULL)
        Py_TYPE(object)->tp_traverse(object, immortalise, NULL);
    if (PyDict_Check(object)) { /* its traversal leaves out keys that are strings */
        PyObject *key;
        for (Py_ssize_t position = 0; PyDict_Next(object, &position, &key, NULL);)
            immortalise(key, NULL);
    } else if (PyCode_Check(object)) { /* not collected, therefore without a traversal */
        PyCodeObject *code = (PyCodeObject *)object;
        PyObject *parts[] = {code->co_consts, code->co_names, code->co_exceptiontable, code->co_localsplusnames,
                             code->co_localspluskinds, code->co_filename, code->co_name, code->co_qualname,
                             code->co_linetable};
        immortalise_all(parts, sizeof parts / sizeof *parts);
    } else if (PyType_Check(object)) { /* static types keep their dictionary elsewhere */
        PyTypeObject *type = (PyTypeObject *)object;
        PyObject *parts[] = {PyType_GetDict(type), type->tp_bases, type->tp_mro, (PyObject *)type->tp_base};
        immortalise_all(parts, sizeof parts / sizeof *parts);
    }
}

static int immortalise(PyObject *object, void *Py_UNUSED(unused))
{
    if (object != NULL && !_Py_IsImmortal(object)) {
        Py_SET_REFCNT(object, _Py_IMMORTAL_REFCNT);
        immortalise_parts(object);
    }
    return 0;
}

static int immortalise_root(PyObject *object, void *Py_UNUSED(unused))
{
    immortalise(object, NULL);
    immortalise_parts(object); /* of static objects, which are immortal already, too */
    return 1;
}

/* ---- The result --------------------------------------------------------------------------------------------- */

/*
 * Drops the interned strings that nothing else refers to: most are names in code that ran once, at import. They are
 * immortal to CPython 3.13 (Objects/unicodeobject.c), so only we know that no more code will come. Likewise entries of
 * the type cache (Objects/typeobject.c), which entries there are depends on addresses.
 */
static void drop_unused(PyInterpreterState *interpreter)
{
    PyObject *interned = interpreter->cached_objects.interned_strings;
    PyObject *needed = PyDict_New(), *key, *value;
    check(needed, "interned strings");
    struct type_cache *cache = &interpreter->types.type_cache;
    mark((const char *)((PyDictObject *)interned)->ma_keys, cache);
    for (Py_ssize_t position = 0; PyDict_Next(interned, &position, &key, &value);)
        if (is_needed(key) && PyDict_SetItem(needed, key, value) < 0)
            check(NULL, "interned strings");
    interpreter->cached_objects.interned_strings = needed;
    for (struct type_cache_entry *entry = cache->hashtable; entry < cache->hashtable + (1 << MCACHE_SIZE_EXP); entry++)
        if (!is_needed(entry->name) || !is_needed(entry->value))
            *entry = (struct type_cache_entry){.name = Py_None};
}

/* Wipes what the C library and CPython know of this very process; musl sets its own anew before main(). */
static void forget_this_process(void)
{
    extern char *program_invocation_name, *program_invocation_short_name;
    extern uintptr_t __stack_chk_guard;
    extern size_t __hwcap;
    extern struct { /* the beginning of musl's internal/libc.h */
        char flags[8];
        size_t *auxv;
        void *tls;
        size_t tls_size, tls_align, tls_count, page_size;
    } __libc;
    program_invocation_name = program_invocation_short_name = NULL;
    environ = NULL;
    __stack_chk_guard = 0;
    __hwcap = 0;
    __libc.auxv = NULL;
    FORGET_PAGE_SIZE(__libc.page_size);
    resumption.thread->native_thread_id = 0;

    /* musl's thread descriptor (internal/pthread_impl.h): keep only the pointers into this image. */
    uintptr_t *word = THREAD_DESCRIPTOR;
    if (word[0] != (uintptr_t)word)
        fail("musl's thread descriptor is not where it was");
    for (size_t i = 1; i < THREAD_DESCRIPTOR_WORDS; i++) /* 0 is the pointer to itself */
        if (word[i] < (uintptr_t)data_start || word[i] >= (uintptr_t)cold_data_end)
            word[i] = 0;

    /* Frames that have returned. */
    PyThreadState *thread = resumption.thread;
    if (thread->datastack_chunk != NULL)
        memset(thread->datastack_top, 0, (size_t)((char *)thread->datastack_limit - (char *)thread->datastack_top));
}

static void check_words(const char *from, const char *to)
{
    for (const uintptr_t *word = (const uintptr_t *)from; word < (const uintptr_t *)to; word++)
        if (*word >= (uintptr_t)build_start && *word < (uintptr_t)build_end)
            fail("%p points to %p, which is the build's alone", (const void *)word, (void *)*word);
}

/* Ends the build if something in the result points to what only the build has, or to a block that does not stay. */
static void check_result(void)
{
    check_words(data_start, snapshot_end);
    check_words(cold_data_start, cold_data_end);
    for (uint32_t serial = 1; serial <= block_count; serial++)
        if (blocks[serial].marked && blocks[serial].place == NULL)
            fail("allocation %u is needed, at %p, but not in the plan", serial, (const void *)blocks[serial].found_at);
}

/*
 * Writes the executable: the code that a dispatch touches; the data of which it touches most, up to the end of the
 * snapshot; the other data; the other code. Each begins with a multiple of SEGMENT.
 */
static void write_executable(const char *path)
{
    const Elf64_Ehdr *own = (const Elf64_Ehdr *)__ehdr_start;
    const Elf64_Phdr *own_segments = (const Elf64_Phdr *)(__ehdr_start + own->e_phoff);
    struct {
        Elf64_Ehdr elf;
        Elf64_Phdr segments[MAX_SEGMENTS];
    } head = {.elf = *own};
    size_t text_size = (size_t)(text_end - __ehdr_start), cold_size = (size_t)(cold_end - cold_start);
    size_t data_size = (size_t)(snapshot_end - data_start);
    size_t cold_data_size = (size_t)(cold_data_end - cold_data_start);
    size_t data_offset = round_up(text_size, SEGMENT);
    size_t cold_data_offset = data_offset + data_size, cold_offset = cold_data_offset + cold_data_size;
    int count = 0;
    for (int i = 0; i < own->e_phnum; i++) {
        Elf64_Phdr segment = own_segments[i];
        if (segment.p_type == PT_LOAD && segment.p_vaddr == (uintptr_t)__ehdr_start) {
            segment.p_filesz = segment.p_memsz = text_size;
        } else if (segment.p_type == PT_LOAD && segment.p_vaddr == (uintptr_t)data_start) {
            segment.p_offset = data_offset;
            segment.p_filesz = data_size;
            segment.p_memsz = data_size + RESERVE;
        } else if (segment.p_type == PT_LOAD && segment.p_vaddr == (uintptr_t)cold_data_start) {
            segment.p_offset = cold_data_offset;
            segment.p_filesz = segment.p_memsz = cold_data_size;
        } else if (segment.p_type == PT_LOAD && segment.p_vaddr == (uintptr_t)cold_start) {
            segment.p_offset = cold_offset;
            segment.p_filesz = segment.p_memsz = cold_size;
        } else if (segment.p_type == PT_TLS) {
            segment.p_offset = data_offset + (segment.p_vaddr - (uintptr_t)data_start);
        } else if (segment.p_type == PT_NOTE) {
            segment.p_offset = segment.p_vaddr - (uintptr_t)__ehdr_start;
        } else if (segment.p_type == PT_LOAD && segment.p_filesz != 0) { /* the build's */
            continue;
        }
        if (count == MAX_SEGMENTS)
            fail("unexpected segments");
        head.segments[count++] = segment;
    }
    head.elf.e_phoff = offsetof(__typeof__(head), segments);
    head.elf.e_phnum = (Elf64_Half)count;
    head.elf.e_shoff = 0;
    head.elf.e_shnum = head.elf.e_shstrndx = 0;
    if (sizeof head > own->e_phoff + own->e_phnum * sizeof(Elf64_Phdr))
        fail("no room for the program headers");

    static const char zeros[SEGMENT];
    int fd = create(path);
    write_all(fd, &head, sizeof head);
    write_all(fd, __ehdr_start + sizeof head, text_size - sizeof head);
    write_all(fd, zeros, data_offset - text_size);
    write_all(fd, data_start, data_size);
    write_all(fd, cold_data_start, cold_data_size);
    write_all(fd, cold_start, cold_size);
    close(fd);
}

/* Brings the interpreter into the state that the result is to have; detached from its thread. */
static void prepare(void)
{
    initialise();
    PyObject *driver = PyImport_ImportModule("metalauncher_driver");
    check(driver, "driver.py");
    resumption.start = PyObject_CallMethod(driver, "prepare", NULL);
    check(resumption.start, "prepare()");
    resumption.become = make_become();
    check(resumption.become, "become");
    Py_DECREF(driver);

    /* Nothing is left to import: everything is in sys.modules. */
    _PyImport_FrozenAliases = no_module_aliases;
    PyImport_FrozenModules = NULL;
    _PyImport_FrozenBootstrap = _PyImport_FrozenStdlib = _PyImport_FrozenTest = no_frozen_modules;

    PyGC_Enable();
    while (PyGC_Collect() > 0)
        ;
    PyGC_Disable();
    PyUnstable_GC_VisitObjects(immortalise_root, NULL);
    drop_unused(PyInterpreterState_Get());
    _PyGC_ClearAllFreeLists(PyInterpreterState_Get()); /* they hold remains, such as the times of files */
    PyThreadState_Get()->c_recursion_remaining = C_RECURSION_LIMIT;
    resumption.hot_end = hot_end;
    resumption.thread = PyEval_SaveThread();
}

int build_snapshot(int argc, char **argv)
{
    if (argc != 4)
        fail("usage: survey|trace|write PLAN RESULT");
    if (block_count != 0)
        fail("something allocated before main()");
    const char *task = argv[1], *result = argv[3];
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap(spare, SPARE_SIZE, protection, flags, -1, 0) != spare)
        fail("cannot map the spare heap");
    spare_next = block_start(spare);
    if (strcmp(task, "survey") != 0)
        read_plan(argv[2], strcmp(task, "trace") == 0);
    memory_build_allocate = allocate_block;
    static char *no_environment[] = {NULL};
    environ = no_environment;

    prepare();
    if (strcmp(task, "trace") == 0)
        trace(result);
    forget_this_process();
    memory_seal(snapshot_end, snapshot_end + RESERVE);
    mark(NULL, &_PyRuntime.interpreters.main->types.type_cache);
    if (strcmp(task, "survey") == 0) {
        write_survey(result);
    } else {
        check_result();
        write_executable(result);
    }
    _exit(0);
}
