"""What a check says of apps whose metadata.toml the chosen launcher can't read, or nobody can tell whether it does."""

from __future__ import annotations

import images
import pytest
from rebased import World, descriptor, place

from metalauncher.tooling.apps.check.verdict import Chosen

HEAD = '[[buildpacks]]\nid = "acme/a"\nversion = "1"\napi = "0.4"\n\n[[processes]]\ntype = "web"\ncommand = "true"\n'
RAW = HEAD + 'args = ["\x1b[1m"]\n'
OLD, NEW = ("0.9.3", 'cannot-read = ["byte-order-mark"]'), ("0.17.7", 'cannot-read = ["control-characters"]')
SILENT = ("0.17.7", "")  # a descriptor of before there was such a key
READ_IT = (
    "rebuild the app, or add a launcher to the run image that reads it: that of the lifecycle which the app was built"
    " with does"
)
# metadata.toml; the launchers; what is said: kind, launcher, exit code, reason, remedy
CASES = {
    "another-reads-it": (RAW, (OLD, NEW), "starts", "0.9.3", None, "the first that can read the app's metadata", ""),
    "none-reads-it": (
        *(RAW, (NEW,), "refused", None, 1, "failed to read metadata: open /layers/config/metadata.toml: toml: "),
        "add a launcher that reads it to the run image (that of lifecycle 0.11 does), or rebuild the app",
    ),
    "by-the-release": (
        *(RAW, (SILENT,), "does-not-start", "0.17.7", 1),
        "buildpacks/lifecycle@0.17.7 is chosen, and can't read raw control characters in metadata.toml",
        READ_IT,
    ),
    "wrong-type": (
        *(HEAD + 'args = "x"\n', (OLD, NEW), "does-not-start", "0.17.7", 1),
        "buildpacks/lifecycle@0.17.7 is chosen, and can't read metadata.toml: processes[0].args is a string, not an",
        READ_IT,
    ),
    "two-spellings": (
        *(HEAD + 'Type = "x"\n', (NEW,), "unknown", "0.17.7", None),
        "its metadata.toml has 'processes[0].type' in two spellings, and which one counts is left to chance",
        READ_IT,
    ),
    "id-with-nul": (
        *(HEAD.replace("acme/a", "acme\\u0000"), (NEW,), "does-not-start", "0.17.7", None),
        "buildpacks/lifecycle@0.17.7 is chosen, and can't look for the layers of buildpacks[0]: its id holds NUL",
        READ_IT,
    ),
    "sound": (HEAD, (OLD, NEW), "starts", "0.17.7", None, "the highest version that covers the app", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_verdict(world: World, name: str) -> None:
    """A start is promised only where the launcher that is chosen is not known to refuse the file."""
    text, launchers, kind, version, code, reason, remedy = CASES[name]
    files = [
        images.file(f"/usr/lib/cnb/launchers.d/{number}.toml", descriptor(number, head)) for number, head in launchers
    ]
    programs = [images.file(place(number), world.rig.launcher, 0o755) for number, _ in launchers]
    run = world.run(f"reading-{name}", world.rig.run_layer(more=[*files, *programs]))
    there = images.pack([images.file("/layers/config/metadata.toml", text.encode())])
    found = world.judge(world.app(images.make_app(f"reading-{name}", HEAD, "0.4"), above=[there]), run)
    assert (found.kind, found.exit_code, found.remedy) == (kind, code, remedy)
    assert found.reason.startswith(reason)
    assert found.launcher == (None if version is None else Chosen("buildpacks/lifecycle", version, place(version)))
    assert found.buildpacks[0][1] == "0.4"
