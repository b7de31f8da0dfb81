"""The code location that Dagster loads: the whole study, and the owner's way to select from it."""

from rsft_assets.commands import owner_selection
from rsft_assets.defs.code_location import defs

__all__ = ["defs"]

owner_selection.install()
