"""Plans that were kept when their batches started, and what those batches really took.

`<home>/plans/<time>.json` holds one plan: its lines with the refs that were outstanding.
"""

import datetime
import json
from collections.abc import Sequence
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.judges import judge_specs
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.planning.costs import HOUR
from rsft_assets.steps.questions.planning.measured import covered_seconds, on_gpu, trained_tokens
from rsft_assets.steps.questions.planning.quantities import Line, Quantity
from rsft_assets.steps.records.manifest import Manifest, write_json
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.outputs_found import completions_of

FOLDER = "plans"


def keep(store: Store, selections: Sequence[str], lines: Sequence[Line]) -> None:
    """Write a plan down, for `rsft plan --last`; nothing where nothing is outstanding.

    Tables of results are left out: they have no manifest to compare an estimate with.
    """
    lines = [line for line in lines if line.refs and any(ref.stage != "results" for ref in line.refs)]
    if not lines:
        return
    store.check_writable()
    now = datetime.datetime.now(datetime.UTC)
    folder = store.home / FOLDER
    folder.mkdir(exist_ok=True)
    entries = [{**line.as_dict(), "refs": [[r.asset, r.partition] for r in line.refs]} for line in lines if line.refs]
    plan = {"selection": list(selections), "at": now.isoformat(), "lines": entries}
    write_json(folder / f"{now:%Y%m%dT%H%M%S.%f}.json", plan)


def last_plan(store: Store) -> dict[str, Any]:
    """The last plan, or a `StepError` that says how to make one."""
    plans = sorted((store.home / FOLDER).glob("[!.]*.json"))
    if not plans:
        raise StepError(f"{store.home / FOLDER} holds no plan; `rsft materialize` keeps one whenever it has work to do")
    try:
        plan: dict[str, Any] = json.loads(plans[-1].read_text(encoding="utf-8"))
        return plan
    except (OSError, ValueError) as error:
        raise StepError(f"{plans[-1]}: damaged plan ({error}); delete it to see the previous one") from error


def estimated(entry: dict[str, Any]) -> Line:
    """A line as it was planned."""
    line = Line(entry["title"], tuple(entry["assets"]), entry["from"], entry["to"])
    line.refs = [Ref(asset, partition) for asset, partition in entry["refs"]]
    line.trained = {run: (start, end) for run, (start, end) in entry["trained"].items()}
    line.figures = {
        name: Quantity(value["value"], value["basis"])
        for name, value in entry.items()
        if isinstance(value, dict) and set(value) == {"value", "basis"}
    }
    return line


def actual(study: Study, store: Store, planned: Line, since: str) -> Line:
    """What the manifests say of a line's refs, those made since the plan; `refs` are the ones made."""
    line = Line(planned.title, planned.assets, planned.first, planned.last)
    outputs = [output for ref in planned.refs if (output := _made_since(store, ref, since)) is not None]
    line.refs = [output.manifest.ref for output in outputs]
    stage = Ref(planned.assets[0]).stage
    if stage == "checkpoints":
        _trained(study, line, outputs, planned.trained)
    elif stage in ("scores", "responses"):
        _generated(study, store, line, outputs, since)
    else:
        line.add("cpu_hours", Quantity(sum(o.manifest.seconds for o in outputs) / HOUR, "measured"))
    if stage != "checkpoints":
        line.add("disk_bytes", _bytes(outputs))
    return line


def _made_since(store: Store, ref: Ref, since: str) -> Output | None:
    output = store.sound(ref)
    return output if output is not None and _is_since(output.manifest, since) else None


def _is_since(manifest: Manifest, since: str) -> bool:
    when = datetime.datetime.fromisoformat
    return bool(manifest.finished_at) and when(manifest.finished_at) >= when(since)


def _bytes(outputs: Sequence[Output]) -> Quantity:
    return Quantity(sum(file.bytes for output in outputs for file in output.manifest.files), "measured")


def _trained(study: Study, line: Line, outputs: Sequence[Output], planned: dict[str, tuple[int, int]]) -> None:
    """A run's tokens and seconds, up to the last step it reached, less those before it went on."""
    line.add("disk_bytes", _bytes([o for o in outputs if o.manifest.ref.step]))  # step 0 shares the base model's bytes
    for run, (start, _) in planned.items():
        own = [o.manifest for o in outputs if o.manifest.ref.run == run and o.stats.get("train_seconds")]
        if not own:
            continue
        last = max(own, key=lambda manifest: manifest.ref.step)
        share = 1 - start / last.ref.step  # steps of one run are alike
        line.trained[run] = (start, last.ref.step)
        line.add("trained_tokens", Quantity(trained_tokens(last) * share, "measured"))
        _hours(study, line, last.stats["train_seconds"] * share)


def _generated(study: Study, store: Store, line: Line, outputs: Sequence[Output], since: str) -> None:
    made = [o.manifest for o in outputs]
    if outputs and outputs[0].manifest.ref.stage == "scores":
        line.add("cpu_hours", Quantity(sum(m.seconds for m in made) / HOUR, "measured"))
        _judged(line, made)
        texts = {t.folder: t for output in outputs if (t := _texts(store, output)) is not None}
        new = [text for text in texts.values() if _is_since(text.manifest, since)]
        line.add("disk_bytes", _bytes(new))
        made = [t.manifest for t in new]
    tokens = sum(m.stats.get("response_tokens") or 0 for m in made)
    line.add("generated_tokens", Quantity(tokens, "measured"))
    _hours(study, line, covered_seconds(made), generated=bool(tokens))


def _judged(line: Line, scores: Sequence[Manifest]) -> None:
    """Tokens that judges were sent and sent back for these scores, and their price where the user names one now."""
    specs = judge_specs()
    for manifest in scores:
        for role, counts in manifest.stats.get("judging", {}).items():
            tokens = Quantity(counts["tokens"], "measured")
            line.add("judge_tokens", tokens)
            price = specs[role].usd_per_million_tokens if role in specs else None
            if price is not None:
                line.add("judge_usd", tokens.times(price / 1e6))


def _texts(store: Store, score: Output) -> Output | None:
    try:
        return completions_of(store, score)
    except StepError:
        return None  # deleted since: `rsft doctor` names it


def _hours(study: Study, line: Line, seconds: float, *, generated: bool = False) -> None:
    """Wall time times the devices of the placement."""
    ref = Ref(line.assets[0])
    pool = study.pools[ref.name] if ref.stage == "responses" else None
    placement = load_placement(pool.teacher.name if pool else ref.name)
    gpu = on_gpu(generated if pool else study.models[ref.name].runs_on_gpu, placement)
    if ref.stage == "checkpoints":
        width = placement.processes * (1 if gpu else placement.threads)
    else:
        width = placement.engines * (placement.tensor_parallel if gpu else placement.threads)
    line.add("gpu_hours" if gpu else "cpu_hours", Quantity(seconds * width / HOUR, "measured"))
