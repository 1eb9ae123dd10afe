"""Give both dispatching forms the same mutated files; they must answer alike, and as documented. Plain Python.

A finding is a directory with the files and the two answers.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = PROJECT / "dist/metalauncher.pyz"
STATIC = PROJECT / f"dist/metalauncher-linux-{os.uname().machine}"
EXIT_CODES = (0, 1, 11, 12, 80, 81, 82)
PLATFORM_APIS = ("0.3", "0.9", "0.12", "", "v0.7", "0.99", "x", "1")
PINS = (
    "buildpacks/lifecycle",
    "buildpacks/lifecycle@<0.20",
    "hone/launcher-rs",
    "nobody",
    "@",
    "buildpacks/lifecycle@x",
)
TOKENS = (
    *(
        b"\0",
        b"\xff",
        b"\x1b[31m",
        b"\r",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\\u0000",
        b"\\U00110000",
        b"\xe2\x80\xae",
    ),
    *(b'"""', b"'''", b'"', b"'", b"=", b"[", b"]", b"[[", b"]]", b"{", b"}", b",", b".", b"#", b"\n", b"\\", b"_"),
    *(
        b"1e400",
        b"nan",
        b"0x",
        b"1979-05-27T07:32:00Z",
        b"1979-13-45",
        b"07:61:00",
        b"9" * 5000,
        b"true",
        b"-0",
        b"0.10",
    ),
    *(
        b"[[buildpacks]]\n",
        b"[launcher]\n",
        b"masked = true\n",
        b"api = ",
        b"id = ",
        b"supported = [",
        b'"0.7"',
        b"a.b.c",
    ),
    *(
        b"[" * 300,
        b"{a=" * 120,
        b"a." * 700,
        b"[" * 5000,
        b'"1.0.post1+local"',
        b'">=0.3,<=0.12"',
        b"9223372036854775808",
    ),
)


def mutate(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Return one of the seeds with a few changes."""
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        at = chance.randrange(len(data) + 1)
        way = chance.randrange(6)
        if way == 0:
            data = data[:at] + chance.choice(TOKENS) + data[at:]
        elif way == 1:
            data = data[:at] + data[at + chance.randrange(1, 20) :]
        elif way == 2:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif way == 3:
            end = min(len(data), at + chance.randrange(1, 60))
            data = data[:end] + data[at:end] * chance.choice((1, 2, 40)) + data[end:]
        elif way == 4:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data = data[:at] + other[start : start + chance.randrange(1, 200)] + data[at:]
        else:
            lines = data.split(b"\n")
            chance.shuffle(lines)
            data = b"\n".join(lines)
    return data


def seeds_of(*patterns: str) -> list[bytes]:
    """Return the files of the project that match."""
    files = [file for pattern in patterns for file in sorted(PROJECT.glob(pattern)) if file.is_file()]
    return [data for file in files if len(data := file.read_bytes()) <= 8192]


class Worker:
    """Makes run images, one after another, and asks both forms about each."""

    def __init__(self, folder: Path, chance: random.Random, findings: Path) -> None:
        """Take a scratch directory of its own."""
        self.root = folder
        self.chance = chance
        self.findings = findings
        self.executed = 0
        self.found = 0
        self.metadata = seeds_of(
            "fuzz/corpus/record/*", "tests/data/metadata/*.toml", "tests/data/apps/*/layers/config/*.toml"
        )
        self.descriptors = seeds_of("fuzz/corpus/descriptor/*", "launchers.d/*.toml", "tests/data/descriptors/*/*.toml")
        self.executables = []
        for source in (PYTHON, STATIC):
            target = folder / source.name / "metalauncher"
            target.parent.mkdir(parents=True)
            shutil.copy2(source, target)
            self.executables.append(target)

    def run(self, until: float) -> None:
        """Ask until the time is over."""
        while time.monotonic() < until:
            self.one()

    def one(self) -> None:
        """Make one run image and ask both forms."""
        image = self.root / "image"
        shutil.rmtree(image, ignore_errors=True)
        for folder in ("etc", "usr/lib"):
            directory = image / folder / "cnb/launchers.d"
            directory.mkdir(parents=True)
            for number in range(self.chance.choice((0, 1, 2))):
                whole = self.chance.random() < 0.4
                content = self.chance.choice(self.descriptors) if whole else mutate(self.chance, self.descriptors)
                (directory / f"{number}.toml").write_bytes(content)
        config = image / "layers/config"
        config.mkdir(parents=True)
        (config / "metadata.toml").write_bytes(mutate(self.chance, self.metadata))
        environ = {"METALAUNCHER_ROOT": str(image), "CNB_LAYERS_DIR": str(image / "layers")}
        environ["CNB_PLATFORM_API"] = self.chance.choice(PLATFORM_APIS[:3] * 3 + PLATFORM_APIS)
        if self.chance.random() < 0.2:
            environ["METALAUNCHER_PIN"] = self.chance.choice(PINS)
        if self.chance.random() < 0.2:
            environ["CNB_DEPRECATION_MODE"] = "error"
        options = self.chance.choice(
            (["--which"], ["--which"], ["--which", "--json"], ["--launch", "/cnb/process/web"])
        )
        answers = [self.ask(executable, options, environ) for executable in self.executables]
        self.executed += 1
        wrong = "" if answers[0] == answers[1] else "the forms differ"
        for answer in answers:
            wrong = wrong or judge(options, *answer)
        if wrong:
            self.found += 1
            kept = self.findings / f"{os.getpid()}-{self.root.name}-{self.executed}"
            shutil.copytree(image, kept, symlinks=True)
            report = [wrong, repr(options), repr(environ), *[repr(answer) for answer in answers]]
            (kept / "REPORT").write_text("\n".join(report))
            print(f"finding: {wrong}: {kept}", flush=True)

    @staticmethod
    def ask(executable: Path, options: list[str], environ: dict[str, str]) -> tuple[int, bytes, bytes]:
        """Return exit code, stdout and stderr."""
        try:
            done = subprocess.run(
                [executable, *options],
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=20,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 999, b"", b"took more than 20 s"
        return done.returncode, done.stdout, done.stderr


def judge(options: list[str], code: int, stdout: bytes, stderr: bytes) -> str:
    """Return what is wrong with an answer, "" if nothing is."""
    if code not in EXIT_CODES:
        return f"exit code {code}"
    for data in (stdout, stderr):
        text = data.decode("utf-8", "replace")
        if "\ufffd" in text.replace("\\ufffd", "") and "\ufffd".encode() not in data:
            return "not UTF-8"
        if not all(c == "\n" or c.isprintable() for c in text):
            return "raw characters"
    if code and "--json" not in options and not stderr.startswith((b"ERROR: ", b"Warning: ")):
        return "no message"
    return ""


def main() -> int:
    """Search with one worker for each processor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    for executable in (PYTHON, STATIC):
        if not executable.exists():
            sys.exit(f"{executable} is missing: run `make pyz static`")
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    options.findings.mkdir(parents=True, exist_ok=True)
    scratch = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="metalauncher-fuzz-", dir=scratch) as folder:
        workers = [
            Worker(Path(folder) / str(n), random.Random(seed + n), options.findings) for n in range(options.workers)
        ]
        until = time.monotonic() + options.seconds
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(lambda worker: worker.run(until), workers))
    print(f"executed {sum(worker.executed for worker in workers)}, findings {sum(worker.found for worker in workers)}")
    return 1 if any(worker.found for worker in workers) else 0


if __name__ == "__main__":
    sys.exit(main())
