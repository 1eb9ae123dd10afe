"""Which proxy to reach a host through, by the variables that curl, Go and Python read. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from metalauncher.tooling.console import decode

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int, environment: Mapping[bytes, bytes]) -> str:
    """Return the proxy's URL; "" where the host is to be reached directly, as loopback always is.

    `http_proxy`, `https_proxy` and `no_proxy` in lower case decide over upper case.
    """
    if is_loopback(host) or _is_exempt(host, port, _variable(environment, "no_proxy")):
        return ""
    proxy = _variable(environment, f"{scheme}_proxy")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def proxy_variable(scheme: str, environment: Mapping[bytes, bytes]) -> str:
    """Return the name of the variable that names the proxy for a scheme."""
    name = f"{scheme}_proxy"
    return name if environment.get(name.encode()) else name.upper()


def is_loopback(host: str) -> bool:
    """Whether a host, without port, is this machine itself."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _variable(environment: Mapping[bytes, bytes], name: str) -> str:
    return decode(environment.get(name.encode()) or environment.get(name.upper().encode()) or b"").strip()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _is_exempt(host: str, port: int, exemptions: str) -> bool:
    """Whether `no_proxy` names the host: itself, a domain over it, a network; perhaps with a port."""
    host, address = host.lower(), _address(host)
    for entry in exemptions.lower().replace(",", " ").split():
        if entry == "*":
            return True
        if address is not None and "/" in entry:
            try:
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:  # it is no network, and exempts nobody
                pass
            continue
        named, colon, digits = entry.rpartition(":")
        if colon and digits.isdecimal() and _address(entry) is None:
            if digits != str(port):
                continue
            entry = named  # noqa: PLW2901  # the rest of it
        if entry.strip("[]") == host.strip("[]"):
            return True
        if address is None and host.endswith("." + entry.lstrip("*").lstrip(".")):
            return True
    return False
