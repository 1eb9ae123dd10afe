"""Whatever layers are laid on an app, and whatever its labels say of them: a verdict is what really starts."""

from __future__ import annotations

import itertools
import json
import tarfile
from collections import Counter

import images
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rebased import World, metadata

LABEL = "io.buildpacks.lifecycle.metadata"
LAUNCHER, WEB, METADATA = "/cnb/lifecycle/launcher", "/cnb/process/web", "/layers/config/metadata.toml"
seen: Counter[str] = Counter()
numbers = itertools.count()


def members(world: World) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return what a layer may have in it."""
    files = {
        METADATA: [metadata(api).encode() for api in ("0.10", "0.6", "0.12")] + [b"[", b""],
        LAUNCHER: [images.SHIM, world.rig.launcher, b"#!/bin/sh\n", b"text"],
        WEB: [world.rig.launcher],
        "/workspace/x": [b""],
    }
    links = {LAUNCHER: ["/usr/lib/cnb/launcher", "/nowhere"], WEB: [LAUNCHER, "/usr/bin/metalauncher", "web"]}
    hidden = ["/layers/config/.wh.metadata.toml", "/layers/.wh.config", "/.wh.layers", "/layers/config/.wh..wh..opq"]
    hidden += ["/layers/.wh..wh..opq", "/cnb/.wh.lifecycle", "/cnb/lifecycle/.wh.launcher", "/cnb/.wh..wh..opq"]
    hidden += ["/.wh.cnb", "/cnb/process/.wh..wh..opq", "/cnb/process/.wh.web", "/layers/.wh.other"]
    return [
        *[images.file(name, data, 0o755) for name, contents in files.items() for data in contents],
        *[images.link(name, target) for name, targets in links.items() for target in targets],
        *[images.file(name, b"") for name in hidden],
        *[images.folder(name) for name in ("/layers", "/layers/config", "/cnb", "/cnb/lifecycle", "/cnb/process")],
    ]


@pytest.mark.thorough
def test_any_stack(world: World) -> None:
    """Whatever lies on whatever, and whatever the labels say, the verdict is what a real start then shows."""
    vocabulary = members(world)
    layers = st.lists(
        st.lists(st.sampled_from(range(len(vocabulary))), min_size=1, max_size=4, unique=True), max_size=3
    )
    lies = st.one_of(
        st.none(),
        st.dictionaries(st.sampled_from(["config", "launcher", "process-types", "app", "top"]), st.integers(0, 7)),
    )

    @settings(
        max_examples=160,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(layers, st.sampled_from(["symlink", "shim", "self-contained"]), lies, st.booleans())
    def check(stack: list[list[int]], route: str, lie: dict[str, int] | None, gone: bool) -> None:
        above = []
        for layer in stack:
            names = {vocabulary[number][0].name: vocabulary[number] for number in layer}
            above.append(images.pack(names.values()))
        app = images.make_app("app", metadata("0.10"), "0.12")
        tag = world.app(app, route, above=above, executable=world.rig.launcher)
        manifest, config = world.layout.image(tag)
        labels = config["config"]["Labels"]
        if gone:
            labels.pop(LABEL)
        elif lie is not None:
            label = json.loads(labels[LABEL])
            digests = config["rootfs"]["diff_ids"]
            for key, number in lie.items():
                # Were the launcher's own layer the run image's, a rebase would take it away.
                digest = digests[number % (2 if key == "top" else len(digests))]
                label |= {"runImage": {"topLayer": digest}} if key == "top" else {key: {"sha": digest}}
            labels[LABEL] = json.dumps(label)
        tag = world.put(f"stack{next(numbers)}", manifest["layers"], config, (), {})
        # Of some stacks unpackers make different things: then it is unknown, and there is nothing to prove.
        # A layer that a label calls the app's is trusted to be that, unless all is read.
        thorough = lie is not None and "app" in lie
        found = world.judge(tag, "two", thorough=thorough)
        seen[found.kind if found.kind == "unknown" else world.prove(tag, "two", thorough=thorough).kind] += 1

    check()
    assert set(seen) >= {"starts", "refused", "does-not-start", "keeps-own-launcher"}
    assert seen["unknown"] < sum(seen.values()) / 2, seen
