"""`make fuzz`: search for inputs that break an oracle, say what was executed, and fail where there is a finding.

The python form: the atheris harnesses over the package's source. The static form: the differential driver, which
gives both forms the same mutated files and compares exit codes and messages. Findings are kept in build/fuzz; the cases
that come of them belong in tests/data, where the tests replay them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
# What grows the corpus, besides fuzz/corpus: the cases of the tests.
SEEDS = {
    "record": ("tests/data/metadata/*.toml", "tests/data/apps/*/layers/config/metadata.toml"),
    "descriptor": ("launchers.d/*.toml", "tests/data/descriptors/*/*.toml", "tests/data/descriptors/*.toml"),
    "command": (),
    "reference": (),
    "archive": (),
    "credentials": (),
    "challenge": (),
}
DICTIONARIES = {"record": "toml", "descriptor": "toml", "command": "command"}
SEED_LIMIT = 4096  # bytes: libFuzzer's own limit for what it generates
MEMORY_MB = 1024


@dataclass
class Job:
    """A search that runs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    findings: Path

    def result(self) -> tuple[int, int]:
        """Wait for it; return executions and findings."""
        code = self.process.wait()
        text = self.log.read_text(errors="replace")
        counts = [
            int(n)
            for n in re.findall(r"stat::number_of_executed_units: *(\d+)|^executed (\d+)", text, re.MULTILINE)
            for n in n
            if n
        ]
        found = len(list(self.findings.iterdir()))
        return sum(counts), found or (1 if code else 0)


def main() -> int:
    """Run every harness for so many seconds, side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--form", choices=("all", "python", "static"), default="all")
    parser.add_argument("--only", choices=(*SEEDS, "differential"), action="append")
    parser.add_argument("--work", type=Path, default=PROJECT / "build/fuzz", help="where findings and logs go")
    options = parser.parse_args()
    names = list(SEEDS) if options.form in ("all", "python") else []
    names += ["differential"] if options.form in ("all", "static") else []
    jobs = [start(name, options.seconds, options.work) for name in names if not options.only or name in options.only]
    failed = 0
    for job in jobs:
        executions, findings = job.result()
        print(f"{job.name}: {executions} executions, {findings} findings ({job.log})")
        if findings or not executions:
            failed += 1
            sys.stdout.write("".join(job.log.read_text(errors="replace").splitlines(keepends=True)[-40:]))
    return 1 if failed else 0


def start(name: str, seconds: int, work: Path) -> Job:
    """Start one search."""
    folder = work / name
    findings, corpus, seeds = folder / "findings", folder / "corpus", folder / "seeds"
    for directory in (findings, corpus):
        directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(seeds, ignore_errors=True)
    seeds.mkdir()
    for pattern in SEEDS.get(name, ()):
        for file in PROJECT.glob(pattern):
            if file.stat().st_size <= SEED_LIMIT:
                shutil.copy(file, seeds / str(file.relative_to(PROJECT)).replace("/", "_"))
    log = folder / "log"
    if name == "differential":
        arguments = [str(HERE / "differential.py"), "--seconds", str(seconds), "--findings", str(findings)]
    else:
        # One bound for a hang, of wall-clock time: ten seconds pass for many an input where a machine is busy.
        bound = ("-timeout=120", "-report_slow_units=120")
        dictionary = DICTIONARIES.get(name, "image")
        arguments = [
            *(str(HERE / "atheris_harness.py"), name, f"-max_total_time={seconds}", *bound),
            *(f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1", f"-artifact_prefix={findings}/"),
            *(f"-dict={HERE / dictionary}.dict", str(corpus), str(HERE / "corpus" / name), str(seeds)),
        ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    return Job(name, process, log, findings)


if __name__ == "__main__":
    sys.exit(main())
