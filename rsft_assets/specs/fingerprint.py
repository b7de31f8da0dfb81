"""Identity of a spec: a hash of its canonical JSON.

What has no stable form (a function, a set, a NaN, an object with a default repr) is refused: hashing
its `str` would give a new identity in every process.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

SHORT = 12


def canonical(value: Any, *, at: str = "spec") -> Any:
    """Plain JSON data with one form for each value; `at` names the place in error messages."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{at}: {value!r} has no stable form; use a finite number")
        # 8 and 8.0 epochs are the same, whichever a table or a TOML file writes.
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"{at}: key {wrong[0]!r} is not a string")
        return {key: canonical(value[key], at=f"{at}.{key}") for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [canonical(item, at=f"{at}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{at}: a {type(value).__name__} has no stable form; use plain data")


def canonical_json(value: Any) -> str:
    """The text that is hashed."""
    return json.dumps(canonical(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
