"""The state of a ref: what materializing it now would do, and why.

    states = States(study, store, making=plan.refs)
    states.of(ref).kind         # kept, missing, stale, gradable or waits

Reads each manifest once and changes nothing. Plans, `rsft materialize`, Dagster's ops and the disk cleanup use it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import TABLE_OF, Ref, inputs_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.identity import Identity, changed_fields, materialize_command
from rsft_assets.steps.records.manifest import InputRecord
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.publishing import read_results
from rsft_assets.steps.scores.grading.tasks import can_be_graded_now


@dataclass(frozen=True)
class State:
    """What would happen to one ref."""

    kind: Literal["kept", "missing", "stale", "gradable", "waits"]
    """kept: finished, nothing to do; a table, a figure or the report is kept if it exists. missing: never made, or
    damaged. stale: what is declared or what it is made from has changed. gradable: a score that had no judge or
    isolation, which is there now. waits: for an input that neither exists nor is being made."""
    why: str = ""
    output: Output | None = None
    """What is kept: the current output, or an earlier one of the same identity."""
    waits_for: Ref | None = None


class States:
    """The states of refs while `making` are being made: an input that will be made anew makes its users stale."""

    def __init__(
        self,
        study: Study,
        store: Store,
        making: Collection[Ref] = (),
        *,
        force: bool = False,
        assume_inputs: bool = False,
    ) -> None:
        """`force` makes all of `making` anew; `assume_inputs` takes inputs that do not exist to be there by then."""
        self.study, self.store = study, store
        self.force = force
        self._making, self._assume = frozenset(making), assume_inputs
        self._found: dict[Ref, Output | StepError | None] = {}
        self._states: dict[Ref, State] = {}

    def of(self, ref: Ref) -> State:
        if ref not in self._states:
            self._states[ref] = self._judge(ref)
        return self._states[ref]

    def kept(self, ref: Ref) -> bool:
        return self.of(ref).kind == "kept"

    def to_make(self, refs: Iterable[Ref]) -> list[Ref]:
        """Those of `refs` that would be made."""
        return [ref for ref in refs if self.of(ref).kind not in ("kept", "waits")]

    def current(self, ref: Ref) -> Output | None:
        """The output in use; None where there is none, or it is damaged or cannot be read."""
        output = self._look(ref)
        return output if isinstance(output, Output) else None

    def damage(self, ref: Ref) -> str:
        """What is wrong with the output in use, in words; empty where it is sound or there is none."""
        output = self._look(ref)
        return str(output) if isinstance(output, StepError) else ""

    def _look(self, ref: Ref) -> Output | StepError | None:
        if ref not in self._found:
            try:
                self._found[ref] = self.store.current(ref)
            except (StepError, OSError) as error:
                self._found[ref] = StepError(str(error))
        return self._found[ref]

    def _judge(self, ref: Ref) -> State:
        if ref.stage not in TABLE_OF:
            return self._of_results(ref)
        inputs: list[InputRecord] = []
        remade = ""
        for upstream in inputs_of(self.study, ref):
            output = self.current(upstream)
            if upstream in self._making and not self.kept(upstream):
                if self.of(upstream).kind == "waits":
                    return State("waits", f"{upstream} waits itself", waits_for=upstream)
                remade = remade or f"{upstream} is made first"
            elif output is None and self._assume:
                remade = remade or self.damage(upstream) or f"{upstream} does not exist yet"
            elif output is None:
                problem = self.damage(upstream) or f"{upstream} does not exist yet"
                return State("waits", f"{problem}; make it first: {materialize_command(upstream)}", waits_for=upstream)
            else:
                inputs.append(InputRecord(upstream.asset, upstream.partition, output.digest, ""))
        before = self._look(ref)
        if remade or (self.force and ref in self._making):
            why = remade or "made again as requested"
            return State("stale", why) if isinstance(before, Output) else State("missing", str(before or why))
        return self._compared(before, Identity(ref, self.store.spec(self.study, ref), tuple(inputs)))

    def _compared(self, before: Output | StepError | None, identity: Identity) -> State:
        current = before if isinstance(before, Output) else None
        if current is not None and current.manifest.fingerprint == identity.fingerprint:
            kept: Output | None = current
        else:
            kept = self.store.kept(identity)
        if kept is None and current is None:
            return State("missing", str(before or ""))
        if kept is None:
            assert current is not None
            return State("stale", "changed: " + (", ".join(changed_fields(current.manifest, identity)) or "schema"))
        ref = identity.ref
        if ref.stage == "scores" and can_be_graded_now(kept, self.study.benchmarks[ref.benchmark]):
            return State("gradable", "its grader can run now", kept)
        return State("kept", output=kept)

    def _of_results(self, ref: Ref) -> State:
        """Tables, figures and the report are made from what exists, and their programs keep what did not change."""
        if ref.stage == "results":
            built = read_results(self.store)
            sound = {table.key for table in built.tables if not table.problem} if built else set()
            return State("kept" if ref.asset in sound else "missing")
        output = self.current(ref)
        return State("kept", output=output) if output else State("missing", str(self._look(ref) or ""))
