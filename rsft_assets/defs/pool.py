"""The pool of the stages that use the accelerator: as many runs at the same time as a cluster has slots."""

from pathlib import Path

import dagster as dg

from rsft_assets.defs.launchers import capabilities_of
from rsft_assets.specs.placement import Placement, read_placements

GPU_POOL = "gpu"
USES_ACCELERATOR = ("responses", "checkpoints", "scores")
_OURS = "rsft/gpu_pool_limit"
"""Under this name the database keeps the limit that we set last: another one was set by a person, and stays."""


def follow_slots(instance: dg.DagsterInstance, placement: Placement, home: Path) -> None:
    """Set the pool's limit to the number of slots, or to Dagster's default where that is larger.

    Where one model stays on this machine, there is one slot: a run may be of any model.
    """
    storage, default = instance.event_log_storage, instance.global_op_concurrency_default_limit
    known = next((pool for pool in storage.get_pool_limits() if pool.name == GPU_POOL), None)
    ours = instance.run_storage.get_cursor_values({_OURS}).get(_OURS)
    if not default or (known and not known.from_default and str(known.limit) != ours):
        return
    stays = any(other.launcher == "local" for other in (placement, *read_placements().values()))
    limit = max(default, 1 if stays else capabilities_of(placement, home).slots)
    if limit != (known.limit if known else default):
        instance.run_storage.set_cursor_values({_OURS: str(limit)})
        storage.set_concurrency_slots(GPU_POOL, limit)
