from collections.abc import Iterable
from typing import Any

class ExpressionError(Exception): ...

class LicenseSymbol:
    key: str
    aliases: tuple[str, ...]
    is_exception: bool
    def __init__(self, key: str, aliases: Iterable[str] = ..., is_exception: bool = ...) -> None: ...

class Licensing:
    known_symbols: dict[str, LicenseSymbol]
    def __init__(self, symbols: Iterable[LicenseSymbol] = ...) -> None: ...
    def parse(self, expression: str, validate: bool = ..., strict: bool = ...) -> Any: ...

def get_spdx_licensing() -> Licensing: ...
