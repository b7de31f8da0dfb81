"""How far the tables are behind the outputs: for `rsft status`, `doctor`, `report` and `trace`."""

from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.manifest import pointer_beside
from rsft_assets.steps.records.pointers import pointers
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import database_path, open_results
from rsft_assets.steps.results.record_tables import STAGES


def outputs_behind(store: Store) -> int:
    """Outputs that are newer than the tables, or gone since; 0 where there are no tables yet."""
    if not database_path(store).is_file():
        return 0
    with open_results(store) as db:
        asked = "SELECT folder FROM records.outputs WHERE stage <> ?"
        held = {Path(folder).parent.as_posix(): folder for (folder,) in db.execute(asked, [COMPLETIONS]).fetchall()}
        # What could not be read is in no table, and is not new.
        unread = {place for (place,) in db.execute("SELECT place FROM records.problems").fetchall()}
    now = {pointer.parent.relative_to(store.home).as_posix(): pointer for pointer in pointers(store.home, STAGES)}
    current = {slot: f"{slot}/{pointer_beside(pointer).output}" for slot, pointer in now.items()}
    return sum(held.get(slot) != current.get(slot) for slot in (held.keys() | now.keys()) - unread)


def behind(store: Store) -> str:
    """A sentence with its remedy; empty where the tables hold every output."""
    try:
        count = outputs_behind(store)
    except StepError as error:
        return str(error)
    return f"tables are {count} output{'s' if count > 1 else ''} behind: rsft report" if count else ""
