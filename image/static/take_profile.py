"""Takes the compiler's profile anew: `make profile`.

For after a change of CPython, of the parser or of the compiler. Builds CPython with counters, runs what training.py
prepares, and writes profile-ARCHITECTURE.profdata, which all builds read. Needs llvm-profdata 19 or 20; no build does.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

from cache import Cache
from run import BuildError, run
from steps import COMMON, NAMES, PROFILE, WARM_UP, Pythons, inputs, link, make_python

COUNT = ["-fprofile-generate", *NAMES]
WRAPPED = ["--wrap=fstat", "--wrap=stat", "--wrap=readdir"]  # training.c
KEEP = ["-z", "nostart-stop-gc"]  # profile.c names the counters by their sections' ends alone
PROFDATA = ("llvm-profdata-19", "llvm-profdata-20")  # Debian's package is llvm-19


def main() -> None:
    """Write the profile."""
    merge = next((path for name in PROFDATA if (path := shutil.which(name))), None)
    if merge is None:
        sys.exit(f"take_profile: {' or '.join(PROFDATA)} is missing: apt-get install llvm-19")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            given = inputs(Cache())
            python, work, raw = Path(scratch, "python"), Path(scratch, "work"), Path(scratch, "profile.profraw")
            python.mkdir()
            work.mkdir()
            make_python(given, COUNT, None, python)
            names = (*COMMON, "training", "profile")
            program = link(given, Pythons(python, python), "training.py", names, [*WRAPPED, *KEEP], work)
            run([str(program), str(raw)], WARM_UP)
            run([merge, "merge", "--output", str(PROFILE), str(raw)])
    except BuildError as error:
        sys.exit(f"take_profile: {error}")
    print(f"{PROFILE}: {PROFILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
