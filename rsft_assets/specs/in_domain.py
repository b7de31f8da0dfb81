"""What is in domain for a run: the kind of question that it was trained on.

A benchmark's `group` is declared for training on math. For a run that was trained on another kind of question, that
kind is in domain and math is out-of-domain reasoning.
"""

from rsft_assets.specs.benchmarks import Benchmark, Group
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run

_DECLARED_FOR = "math"


def kind_trained_on(study: Study, dataset: str) -> str | None:
    """Kind of the queries that a set answers; None for a finished set from elsewhere that names no source."""
    spec = study.datasets[dataset]
    if spec.like:
        return kind_trained_on(study, spec.like)
    source = study.pools[spec.pool].source if spec.pool else spec.source
    return study.sources[source].kind if source else None


def group_for(study: Study, run: Run, benchmark: Benchmark, asks: str | None) -> Group:
    """The group of a benchmark for this run; `asks` is the kind of sources that its questions are like."""
    kind = kind_trained_on(study, run.dataset)
    if kind in (None, _DECLARED_FOR) or benchmark.group not in ("in-domain", "ood-reasoning"):
        return benchmark.group
    return "in-domain" if asks == kind else "ood-reasoning"
