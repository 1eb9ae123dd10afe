"""Change pure modules a little, again and again, and see that a test fails each time.

mutmut does the changing: it forks each attempt from one process that has the tests loaded, and runs those alone that
reach the changed function. It works in a copy, and changes neither constants nor properties. What may survive stands in
mutants.toml with the reason, as a rule that it changes nothing; any other survivor fails the run, as does a reason that
none needs any more.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
COPY = PROJECT / "build/mutate"
EXPLAINED = PROJECT / "tools/mutants.toml"
LEFT_OUT = {".git", ".venv", ".demo", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "build", "dist"}
# What mutmut calls a mutant that a test found: failed, ran for ever, crashed the interpreter.
FOUND = {"killed", "timeout", "segfault", "caught by type check"}
STATUS = re.compile(r"^ +(\S+): (.+)$", re.MULTILINE)
MODULE = re.compile(r"(.+)\.xǁ?.+__mutmut_[0-9]+")


class Mutant(NamedTuple):
    """A change, by what it changes.

    Attributes:
        module: `metalauncher.pins`.
        before: the lines that are changed, without white space around them.
        after: what they become.
    """

    module: str
    before: str
    after: str


def mutmut(*arguments: str, output: bool = True) -> str:
    """Run mutmut in the copy; return what it prints, and show it as it comes where it is not asked for."""
    environment = {
        name: value for name, value in os.environ.items() if name != "CI"
    }  # what is not built is passed over
    result = subprocess.run(
        [Path(sys.executable).with_name("mutmut"), *arguments],
        cwd=COPY,
        env=environment,
        stdout=subprocess.PIPE if output else None,
        text=True,
    )
    if result.returncode:
        print(result.stdout or "", end="", file=sys.stderr)
        sys.exit(f"mutate: mutmut {arguments[0]} failed")
    return result.stdout or ""


def look(name: str) -> Mutant:
    """Return what a mutant of mutmut's is."""
    lines = mutmut("show", name).splitlines()
    before, after = (
        "\n".join([line[1:].strip() for line in lines if line[:1] == sign and line[:3] != sign * 3]) for sign in "-+"
    )
    match = MODULE.fullmatch(name)
    return Mutant(match[1] if match else name, before, after)


def explained() -> dict[Mutant, str]:
    """Return the mutants that survive for a reason, with it."""
    found: dict[Mutant, str] = {}
    for entry in tomllib.loads(EXPLAINED.read_text()).get("mutant", []):
        for after in entry["after"]:
            found[Mutant(entry["module"], entry["before"], after)] = entry["reason"]
    return found


def main() -> int:
    """Run it; return 1 where a mutant survived without a reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "modules", nargs="*", help="metalauncher.pins, or metalauncher.pins.x__holds*; all if none is named"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    for entry in PROJECT.iterdir():
        if entry.is_dir() and entry.name not in LEFT_OUT:
            shutil.copytree(entry, COPY / entry.name, symlinks=True)
        elif entry.is_file():
            shutil.copyfile(entry, COPY / entry.name)
    mutmut(
        "run",
        "--max-children",
        str(options.jobs),
        *[name if name.endswith("*") else f"{name}.x*" for name in options.modules],
        output=False,
    )
    statuses = dict(STATUS.findall(mutmut("results", "--all", "true")))
    tried = {name: status for name, status in statuses.items() if status != "not checked"}
    if not tried:
        sys.exit("mutate: there is nothing to change")
    reasons = explained()
    # On a busy machine one that changes nothing may take too long, too.
    survivors = {look(name): status for name, status in tried.items() if status != "killed"}
    failed = False
    for mutant, status in sorted(survivors.items()):
        if mutant not in reasons and status not in FOUND:
            failed = True
            print(f"{mutant.module}: {status}\n  - {mutant.before}\n  + {mutant.after}".replace("\n  ", "\n    "))
    # Where all of a module was changed, what is explained of it has to be there.
    whole = {match[1] for name in statuses if (match := MODULE.fullmatch(name))}
    whole -= {match[1] for name in statuses.keys() - tried.keys() if (match := MODULE.fullmatch(name))}
    for mutant in sorted(reasons.keys() - survivors.keys()):
        if mutant.module in whole:
            failed = True
            print(f"{EXPLAINED.name}: {mutant.module} no longer has, or no longer survives: {mutant.after}")
    counts = ", ".join(f"{number} {status}" for status, number in Counter(tried.values()).most_common())
    print(f"{len(tried)} mutants: {counts}; {len(reasons.keys() & survivors.keys())} explained")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
