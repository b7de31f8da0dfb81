"""Build a training set: verified responses, or another set, in; `examples.parquet` and `held_out.parquet` out.

    python -m rsft_assets.steps.datasets.build datasets/nano-cot datasets/nano-nocot

The recipe of the declared set says how rows are chosen. `stats` holds the count of every filter, the
verdict mix, lengths, sample rows and the facts that the asset checks read.
"""

from typing import Any

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.datasets.facts import Facts, wants_box
from rsft_assets.steps.datasets.from_pool import rows_from_pool
from rsft_assets.steps.datasets.from_published import rows_as_published, say_if_changed
from rsft_assets.steps.datasets.from_set import rows_from_set
from rsft_assets.steps.records.columns import EXAMPLES_FILE, HELD_OUT_FILE
from rsft_assets.steps.records.rows import RowWriter
from rsft_assets.steps.records.stage import run_stage
from rsft_assets.steps.records.store import Build, Output, Store


def build_dataset(study: Study, store: Store, ref: Ref, *, force: bool = False) -> Output:
    """Make one training set, or find it made."""
    dataset: Dataset = study.get("datasets", ref.name)
    with store.build(study, ref, force=force, seed=dataset.seed) as build:
        if build.finished is None:
            build.publish(stats=_build(study, build, dataset))
        elif dataset.recipe == "published":
            say_if_changed(build.finished, dataset)
    return build.output


def _build(study: Study, build: Build, dataset: Dataset) -> dict[str, Any]:
    counts: dict[str, Any] = {"recipe": dataset.recipe}
    if dataset.recipe == "published":
        examples = rows_as_published(build, dataset, counts)
    elif dataset.pool:
        examples = rows_from_pool(build, dataset, study.pools[dataset.pool], counts)
    else:
        examples = rows_from_set(build, dataset, counts)
    facts = Facts(dataset, wants_box(dataset))
    place = build.folder / HELD_OUT_FILE
    with RowWriter(build.folder / EXAMPLES_FILE, "examples") as rows, RowWriter(place, "examples") as held_out:
        for example in examples:
            if rows.rows < dataset.rows:
                rows.add(example)
                facts.see(example)
            else:
                held_out.add(example)
    if not held_out.rows:
        place.unlink()
    return {**facts.stats(counts.pop("contaminated")), "held_out_rows": held_out.rows, **counts}


if __name__ == "__main__":
    run_stage(build_dataset, __doc__)
