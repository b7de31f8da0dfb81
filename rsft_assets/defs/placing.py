"""The placement of one run, set in Dagster's launchpad: `resources: {placement: {config: {engine: vllm}}}`."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import dagster as dg
from pydantic import Field, create_model

from rsft_assets.specs.placement import FIELDS_SETTING, PLACEMENT_SETTING, Placement


class PlacementResource(dg.ConfigurableResource[Any]):
    """Fields of `Placement`; those that are not set are as the file of RSFT_PLACEMENT has them."""

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have this process, and the steps that it starts, use the fields that are set."""
        fields = {name: value for name in _HINTS if (value := getattr(self, name)) is not None}
        before = os.environ.get(FIELDS_SETTING)
        if fields:
            os.environ[FIELDS_SETTING] = json.dumps(fields)
        try:
            yield
        finally:
            if fields and before is None:
                del os.environ[FIELDS_SETTING]
            elif before is not None:
                os.environ[FIELDS_SETTING] = before


_HINTS = get_type_hints(Placement)
_DEFAULTS = dataclasses.asdict(Placement())


def _field(name: str) -> tuple[Any, Any]:
    hint, about = _HINTS[name], f"{_DEFAULTS[name]!r} where neither this nor {PLACEMENT_SETTING} says otherwise"
    if get_origin(hint) is Literal:
        # Dagster has no choice that may be left out; a wrong one is refused when the placement is read.
        about += f"; one of {', '.join(map(str, get_args(hint)))}"
        hint = type(get_args(hint)[0])
    return hint | None, Field(default=None, description=about)


_FIELDS: dict[str, Any] = {name: _field(name) for name in _HINTS}
PLACEMENT_RESOURCE = {"placement": create_model("RunPlacement", __base__=PlacementResource, **_FIELDS)()}
"""For the `resources` of a `Definitions` that holds stages."""
