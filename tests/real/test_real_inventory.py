"""Which launchers app images carry that lifecycle's own exporter wrote, in a registry: what they are, fetched once."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golang
import launchers
import pytest
from appimages import FIRST, AppImages, app_images
from bundles import as_process
from containers import need
from exporting import Exporter, recipes

RECIPES = {recipe.name: recipe for recipe in recipes()}
# Exported with the launcher of 0.17.7, which here is built as upstream does, and with that of 0.21.17, by module.
OLD, NEW = ("p04-launcher", "p06-launcher"), ("p07-launcher", "p12-launcher", "p15-launcher")


@pytest.fixture(scope="module")
def real() -> dict[str, Path]:
    """Return launchers, one built in a checkout and one as a module."""
    try:
        go = golang.find()
        return {
            "0.9.3": launchers.build("0.9.3", go).executable,
            "0.17.7": launchers.build_upstream("0.17.7", go),
            "0.21.17": launchers.build("0.21.17", go).executable,
        }
    except golang.Unavailable as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="module")
def made(real: dict[str, Path]) -> Iterator[AppImages]:
    """Return run images with real launchers, and the apps on them."""
    need("skopeo", "umoci", "docker-registry")
    with app_images(Exporter(golang.find()), real) as images:
        yield images


@contextlib.contextmanager
def counting(address: str) -> Iterator[tuple[str, Counter[str]]]:
    """Give a server that asks a registry whatever it is asked, and how often it was for each path."""
    asked: Counter[str] = Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] += 1
            request = urllib.request.Request(f"http://{address}{self.path}")
            for name in ("Accept", "Range"):
                if self.headers[name]:
                    request.add_header(name, self.headers[name])
            try:
                answer: Any = urllib.request.urlopen(request, timeout=60)  # noqa: S310  # on loopback
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                data = answer.read()
                self.send_response(answer.status)
                for name in ("Content-Type", "Docker-Content-Digest", "Content-Range", "WWW-Authenticate"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_inventory_of_exported_apps(made: AppImages, real: dict[str, Path]) -> None:
    """Release, Go and module from the program itself; each launcher's layer is asked for once."""
    apps = [made.app(RECIPES[name], FIRST) for name in (*OLD, *NEW)]
    shim = made.app(RECIPES["p15-shim"], FIRST)
    address = shim.partition("/")[0]
    with counting(address) as (counter, asked):
        through = [app.replace(address, counter) for app in (*apps, shim)]
        answer = as_process("check", "--inventory", *through, "--json", "--no-cache", "--insecure", counter)
    assert (answer.code, answer.err) == (0, "")
    entries = answer.document["apps"]
    assert [entry["app"] for entry in entries] == through
    assert entries[-1]["kind"] == "run-image"
    go = golang.find().version
    for entry, version in zip(entries[:-1], ["0.17.7"] * len(OLD) + ["0.21.17"] * len(NEW), strict=True):
        launcher = entry["launcher"]
        assert (launcher["release"], launcher["go_version"], launcher["module"]) == (version, go, launchers.LIFECYCLE)
        assert launcher["source"] == ("ldflags" if version == "0.17.7" else "module")
        digest = hashlib.sha256(real[version].read_bytes()).hexdigest()
        assert (launcher["path"], launcher["digest"]) == ("/cnb/lifecycle/launcher", f"sha256:{digest}")
        assert launcher["notes"] == []
    layers = {entry["launcher"]["layer"] for entry in entries[:-1]}
    assert len(layers) == 2
    for layer in layers:
        assert sum([number for path, number in asked.items() if path.endswith(f"/blobs/{layer}")]) == 1, asked
    assert answer.document["releases"] == [
        {"module": launchers.LIFECYCLE, "release": "0.21.17", "apps": len(NEW)},
        {"module": launchers.LIFECYCLE, "release": "0.17.7", "apps": len(OLD)},
    ]


def test_verdicts_of_exported_apps(made: AppImages) -> None:
    """With a run image each says the same, before a rebase and after it."""
    for on in (FIRST, "newest"):
        apps = [made.app(RECIPES[name], on) for name in ("p06-launcher", "p12-launcher", "p15-shim")]
        old, new, shim = made.check(apps, "newest")
        assert [result["kind"] for result in (old, new, shim)] == ["keeps-own-launcher"] * 2 + ["starts"]
        assert [result["own_launcher"]["release"] for result in (old, new)] == ["0.17.7", "0.21.17"]
        assert shim["own_launcher"] is None
