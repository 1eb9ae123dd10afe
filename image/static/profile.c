/*
 * The counters of a program compiled with -fprofile-generate, in clang's raw format (llvm/ProfileData/InstrProfData.inc,
 * version 10): what compiler-rt's run-time library does, which the toolchain's wheel lacks. Values are not counted.
 */
#include "profile.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "interpreter.h"

/* Begin and end of the compiler's sections, from the linker. */
extern char __start___llvm_prf_data[], __stop___llvm_prf_data[];
extern char __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];
extern char __start___llvm_prf_names[], __stop___llvm_prf_names[];
extern const uint64_t __llvm_profile_raw_version; /* the compiler's; with the kind of instrumentation */

#define FORMAT 10
#define DATA_SIZE 64 /* of one function's record */
#define VALUE_KIND_LAST 2

static size_t padding(size_t size)
{
    return (8 - size % 8) % 8;
}

void profile_reset(void)
{
    memset(__start___llvm_prf_cnts, 0, (size_t)(__stop___llvm_prf_cnts - __start___llvm_prf_cnts));
}

void profile_write(const char *path)
{
    static const char zeros[8];
    size_t data = (size_t)(__stop___llvm_prf_data - __start___llvm_prf_data);
    size_t counters = (size_t)(__stop___llvm_prf_cnts - __start___llvm_prf_cnts);
    size_t names = (size_t)(__stop___llvm_prf_names - __start___llvm_prf_names);
    if ((uint32_t)__llvm_profile_raw_version != FORMAT || data % DATA_SIZE != 0)
        fail("the compiler's profiles are of version %u, not %u", (unsigned)__llvm_profile_raw_version, FORMAT);
    const uint64_t head[] = {
        UINT64_C(0xff6c70726f667281), /* "\377lprofr\201" */
        __llvm_profile_raw_version,
        0, /* bytes of build ids */
        data / DATA_SIZE,
        0, /* padding */
        counters / sizeof(uint64_t),
        padding(counters),
        0, /* bytes of bitmaps */
        0, /* padding */
        names,
        (uint64_t)(__start___llvm_prf_cnts - __start___llvm_prf_data),
        0, /* bitmaps, from the data */
        (uint64_t)__start___llvm_prf_names,
        0, /* virtual tables */
        0, /* bytes of their names */
        VALUE_KIND_LAST,
    };
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(head, sizeof head, 1, file) != 1 || fwrite(__start___llvm_prf_data, data, 1, file) != 1 ||
        fwrite(__start___llvm_prf_cnts, counters, 1, file) != 1 ||
        fwrite(zeros, 1, padding(counters), file) != padding(counters) ||
        fwrite(__start___llvm_prf_names, names, 1, file) != 1 ||
        fwrite(zeros, 1, padding(names), file) != padding(names) || fclose(file) != 0)
        fail("cannot write %s", path);
}
