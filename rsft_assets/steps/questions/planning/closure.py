"""The upstream of cells, cell by cell, so that a plan holds only what its selection needs."""

from collections.abc import Iterable

from rsft_assets.specs.lineage import TABLE_OF, Ref, inputs_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.figures.catalogue import figure_keys
from rsft_assets.steps.results.sql_files import results_keys


def closure(study: Study, refs: Iterable[Ref]) -> set[Ref]:
    """The cells and everything that they are made from."""
    wanted: set[Ref] = set()
    queue = list(refs)
    while queue:
        ref = queue.pop()
        if ref not in wanted:
            wanted.add(ref)
            queue += _made_from(study, ref)
    return wanted


def _made_from(study: Study, ref: Ref) -> Iterable[Ref]:
    """Tables are built from what exists, figures from tables, the report from both."""
    if ref.stage in TABLE_OF:
        return inputs_of(study, ref)
    if ref.stage == "results":
        return ()
    if ref.stage == "figures":
        return map(Ref, results_keys())
    return map(Ref, figure_keys())
