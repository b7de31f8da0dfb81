"""How far the tables are behind the outputs: for `rsft status`, `doctor`, `report` and `trace`."""

from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.manifest import POINTER, pointer_beside
from rsft_assets.steps.records.pointers import output_in_use, pointers
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import database_path, open_results
from rsft_assets.steps.results.record_tables import STAGES

_NAMED = 3


def slots_behind(store: Store) -> list[Path]:
    """Where outputs are newer than the tables, or gone since; none where there are no tables yet."""
    if not database_path(store).is_file():
        return []
    with open_results(store) as db:
        asked = "SELECT folder FROM records.outputs WHERE stage <> ?"
        held = {Path(folder).parent.as_posix(): folder for (folder,) in db.execute(asked, [COMPLETIONS]).fetchall()}
        # What could not be read is in no table, and is not new.
        unread = {place for (place,) in db.execute("SELECT place FROM records.problems").fetchall()}
    now = {pointer.parent.relative_to(store.home).as_posix(): pointer for pointer in pointers(store.home, STAGES)}
    current = {slot: f"{slot}/{pointer_beside(pointer).output}" for slot, pointer in now.items()}
    slots = (held.keys() | now.keys()) - unread
    return [store.home / slot for slot in sorted(slots) if held.get(slot) != current.get(slot)]


def behind(store: Store) -> str:
    """A sentence with its remedy, and what of it is damaged; empty where the tables hold every output."""
    try:
        slots = slots_behind(store)
    except StepError as error:
        return str(error)
    if not slots:
        return ""
    damaged = [damage for slot in slots if slot.is_dir() and isinstance(damage := output_in_use(slot / POINTER), str)]
    # The report's page shows this sentence, so it does not say where the home is.
    reasons = [damage.replace(f"{store.home}/", "") for damage in damaged[:_NAMED]]
    reasons += [f"{len(damaged) - _NAMED} more cannot be read"] if len(damaged) > _NAMED else []
    return "; ".join([f"tables are {len(slots)} output{'s' if len(slots) > 1 else ''} behind: rsft report", *reasons])
