"""One atheris harness: `python3 fuzz/atheris_harness.py record|descriptor|command [libFuzzer's options] CORPUS...`."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # in the fuzzer's own venv

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# The command line's harness meets no TOML but a small file.
with atheris.instrument_imports(include=["metalauncher", *(["tomli"] if sys.argv[1:2] != ["command"] else [])]):
    import tomli  # noqa: F401
    from oracles import check

    import metalauncher.events
    import metalauncher.which  # noqa: F401


def main() -> None:
    """Fuzz until libFuzzer's options say enough, or a finding ends it."""
    harness = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda data: check(harness, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
