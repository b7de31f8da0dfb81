"""What a person reads on an asset's page: what it is, its partitions, and the commands to make it."""

from rsft_assets.defs.partitions import partitions_definition
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study import Study
from rsft_assets.specs.titles import run_title, titles_of


def describe(study: Study, asset: str) -> str:
    """Markdown for one asset."""
    return _TEXTS[Ref(asset).stage](study, Ref(asset))


def _queries(study: Study, ref: Ref) -> str:
    source = study.sources[ref.name]
    return f"{source.description}\n\nFrom {_origin(source.origin)}. One row per query, with its reference answer."


def _responses(study: Study, ref: Ref) -> str:
    pool = study.pools[ref.name]
    return (
        f"{pool.description}\n\nTeacher **{pool.teacher.name}**, {_sampling(pool)}, on `queries/{pool.source}`. "
        f"One partition per shard of the queries ({pool.shards})."
    )


def _verdicts(study: Study, ref: Ref) -> str:
    return (
        f"A verdict for every response of `responses/{ref.name}`: correct, wrong, unparseable or undecided, "
        "each with its reason and the answer that was judged."
    )


def _audits(study: Study, ref: Ref) -> str:
    return (
        f"How far the verdicts of `verdicts/{ref.name}` can be trusted: a seeded sample of queries against a second "
        "opinion, against the truth where the teacher is a procedure, and under other configurations."
    )


def _datasets(study: Study, ref: Ref) -> str:
    dataset = study.datasets[ref.name]
    used = [f"- `{run.name}`" for run in study.runs.values() if run.dataset == ref.name]
    return f"{dataset.description}\n\n{_recipe(dataset)}\n\nTrained on by:\n" + "\n".join(used or ["- no run yet"])


def _recipe(dataset: Dataset) -> str:
    if dataset.recipe == "published" and dataset.published:
        return f"{dataset.rows:,} rows, adopted as {_origin(dataset.published)} has them."
    origin = f"`responses/{dataset.pool}`" if dataset.pool else f"`datasets/{dataset.like}`"
    order = f", queries of `datasets/{dataset.like}` first" if dataset.pool and dataset.like else ""
    return f"{dataset.rows:,} rows, recipe **{dataset.recipe}** of {origin}{order}, seed {dataset.seed}."


def _base_models(study: Study, ref: Ref) -> str:
    model = study.models[ref.name]
    text = f"{model.description}\n\n" if model.description else ""
    return (
        f"{text}{_size(model)}, {_origin(model.origin)}. The starting point of every run of `checkpoints/{ref.name}`."
    )


def _checkpoints(study: Study, ref: Ref) -> str:
    rows, titles = [], titles_of(study, study.member_of[("models", ref.name)])
    for run in study.runs_of(ref.name):
        steps = ", ".join(map(str, study.steps_of(run)))
        data = f"adopted from {_origin(run.published)}" if run.adopt and run.published else f"`datasets/{run.dataset}`"
        rows.append(f"| `{run.short_name}` | `{run.name}` | {run_title(titles, run)} | {data} | {steps} |")
    example = study.runs_of(ref.name)[0]
    return (
        f"{ref.name} fine-tuned: one partition per run and kept step; step 0 is the base model. "
        "A run is trained once, through all its steps; asking for one step trains up to it. "
        f"{_possible(study, ref)}\n\n"
        "| run | full name | title | training set | steps |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"`rsft materialize checkpoints/{ref.name} --run {example.short_name}`"
    )


def _benchmarks(study: Study, ref: Ref) -> str:
    benchmark = study.benchmarks[ref.name]
    items = f"{benchmark.items:,} items" if benchmark.items else "all items"
    needs = f" Needs {' and '.join(benchmark.needs)}." if benchmark.needs else ""
    text = f"{benchmark.description} " if benchmark.description else ""
    source = f"{items[0].upper()}{items[1:]} from {_origin(benchmark.origin)}."
    return f"{benchmark.title} ({benchmark.group}). {text}{source}{needs}"


def _scores(study: Study, ref: Ref) -> str:
    benchmark = study.benchmarks[ref.benchmark]
    return (
        f"{benchmark.title} ({benchmark.group}) of every checkpoint of {ref.name}: "
        f"{benchmark.sampling.n} sample{'s' if benchmark.sampling.n > 1 else ''} an item at temperature "
        f"{benchmark.sampling.temperature:g}, graded the strict way and the authors' way; "
        f"headline metric `{benchmark.metrics[0]}`. Partitions are those of `checkpoints/{ref.name}`. "
        f"{_possible(study, ref)}\n\n"
        f"`rsft materialize 'scores/{ref.name}/*'`"
    )


_TEXTS = {
    "queries": _queries,
    "responses": _responses,
    "verdicts": _verdicts,
    "audits": _audits,
    "datasets": _datasets,
    "base_models": _base_models,
    "checkpoints": _checkpoints,
    "benchmarks": _benchmarks,
    "scores": _scores,
}


def _possible(study: Study, ref: Ref) -> str:
    """Dagster's grid is every run by every step, and shows what cannot exist as missing for ever."""
    grid = partitions_definition(study, ref.asset)
    there, possible = grid.get_num_partitions() if grid else 0, len(partitions_of(study, ref.asset))
    if there == possible:
        return f"All {possible} partitions can be made."
    return f"{possible} of {there} partitions can be made; the others lie past the end of their run and stay missing."


def _origin(origin: Hub | Generator | Pretraining) -> str:
    if isinstance(origin, Hub):
        pin = f" at `{origin.revision[:12]}`" if origin.revision else " (revision: the lock file's)"
        return f"`{origin.repo}`{pin}" + (", access on request" if origin.gated else "")
    if isinstance(origin, Pretraining):
        return f"pretrained here from seed {origin.seed} for {origin.steps} steps on `{origin.mixture}`"
    return f"the seeded generator `{origin.name}` ({origin.count:,} rows, seed {origin.seed})"


def _sampling(pool: Pool) -> str:
    s = pool.sampling
    return (
        f"{s.n} sample{'s' if s.n > 1 else ''} a query, temperature {s.temperature:g}, at most {s.max_tokens:,} tokens"
    )


def _size(model: Model) -> str:
    size = f"{model.parameters / 1e9:.3g}B" if model.parameters >= 1e9 else f"{model.parameters / 1e6:.3g}M"
    return f"{size} parameters, {model.family} family"
