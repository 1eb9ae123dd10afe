"""One atheris harness: `python3 fuzz/atheris_harness.py NAME [libFuzzer's options] CORPUS...`; oracles.py has NAMEs."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # in the fuzzer's own venv

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# The other harnesses meet no TOML but a small file.
PARSERS = ["tomli"] if sys.argv[1:2] in (["record"], ["descriptor"]) else []
with atheris.instrument_imports(include=["metalauncher", *PARSERS]):
    import image_oracles
    import oracles
    import tomli  # noqa: F401  # so that it is instrumented

    import metalauncher.explain.events  # noqa: F401  # the same
    import metalauncher.explain.which  # noqa: F401  # the same


def main() -> None:
    """Fuzz until libFuzzer's options say enough, or a finding ends it."""
    oracle = (oracles.ORACLES | image_oracles.ORACLES)[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: oracles.check(oracle, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
