"""The plan of a selection: its cells, what they are made from where that is wanted, and the state of each.

    plan = make_plan(study, store, Selection(("scores/nano-300k/*",), upstream=True))
    plan.states.of(ref), plan.waiting, plan.batches

A cell is a `Ref`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.questions.planning.batches import Batch, batches
from rsft_assets.steps.questions.planning.closure import closure
from rsft_assets.steps.questions.planning.selection import Selection, all_keys, cells, past_the_end
from rsft_assets.steps.records.store import Store


@dataclass
class Plan:
    """What a selection comes to."""

    refs: list[Ref]
    """Every cell that was asked for, upstream first, waiting ones included."""
    states: States
    batches: list[Batch]
    """Of the cells that do not wait."""
    past_the_end: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> dict[Ref, Ref]:
        """Cells that cannot be made yet, and the input each waits for."""
        missing = {ref: self.states.of(ref).waits_for for ref in self.refs}
        return {ref: upstream for ref, upstream in missing.items() if upstream is not None}


def make_plan(study: Study, store: Store, selection: Selection, *, assume_inputs: bool = False) -> Plan:
    """The plan of a selection; `assume_inputs` treats missing inputs as present, for plans of costs."""
    asked = cells(study, selection)
    refs = closure(study, asked) if selection.upstream else asked
    plan = plan_of(study, store, refs, force=selection.force, assume_inputs=assume_inputs)
    plan.past_the_end = past_the_end(study, selection)
    return plan


def plan_of(
    study: Study, store: Store, refs: Collection[Ref], *, force: bool = False, assume_inputs: bool = False
) -> Plan:
    """The plan of these cells, put in order."""
    place = {key: number for number, key in enumerate(all_keys(study))}
    within = {key: {part: n for n, part in enumerate(partitions_of(study, key))} for key in {r.asset for r in refs}}
    ordered = sorted(set(refs), key=lambda ref: (place[ref.asset], within[ref.asset].get(ref.partition, 0)))
    states = States(study, store, ordered, force=force, assume_inputs=assume_inputs)
    ready = [ref for ref in ordered if states.of(ref).kind != "waits"]
    return Plan(ordered, states, batches(study, ready))
