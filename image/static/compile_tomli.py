"""Translates tomli's parser to C with mypyc, for the CPython of the static executable: PACKAGE-PARENT OUTPUT.

Run with mypy on the path, by any Python that it supports; the result is the same.
"""

import os
import sys
import sysconfig

from mypyc.build import mypyc_build
from mypyc.options import CompilerOptions

TARGET = (3, 13)


def main(parent: str, output: str) -> None:
    """Write __native_tomli.c and its headers to `output`."""
    sysconfig.get_config_vars()["EXT_SUFFIX"] = ".so"  # else the name of the running Python gets into the result
    os.chdir(parent)  # mypyc records the paths as given
    options = CompilerOptions(
        target_dir=output, capi_version=TARGET, python_version=TARGET, include_runtime_files=True, group_name="tomli"
    )
    mypyc_build(
        ["--config-file=", "--cache-dir=/dev/null", "tomli/_parser.py"],
        options,
        only_compile_paths=["tomli/_parser.py"],
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
