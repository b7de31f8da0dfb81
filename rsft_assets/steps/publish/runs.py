"""Checkpoints of a run as a model repository: a folder `step<N>` each, a model card, the lineage, the scores.

A folder holds the files of the checkpoint's output and nothing else, so that adopting it gives the same digest.
"""

from collections.abc import Mapping

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.publish.card import PAPER, card, made_from, made_with, table
from rsft_assets.steps.publish.lineage import Ancestry
from rsft_assets.steps.publish.publication import CARD, LINEAGE, Publication, as_json
from rsft_assets.steps.publish.scores import Scored, eval_results, scores_of
from rsft_assets.steps.records.store import Output, Store


def publication_of_run(
    study: Study, store: Store, run: Run, outputs: Mapping[int, Output], owner: str, licence: str | None
) -> Publication:
    """What the repository of a run is to hold: these checkpoints, by step."""
    ancestry = Ancestry(study, store, [output.verified() for output in outputs.values()])
    publication = Publication(f"checkpoints/{run.model} {run.name}", "model", f"{owner}/{run.name}")
    publication.licences = ancestry.licences()
    for step, output in outputs.items():
        publication.files |= {f"step{step}/{one.path}": output.folder / one.path for one in output.manifest.files}
    scores = list(scores_of(study, store, run, outputs))
    last = max(outputs)
    files, publication.left_out = eval_results([scored for scored in scores if scored.step == last])
    origin = study.models[run.model].origin
    header = {
        "license": licence,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": origin.repo if isinstance(origin, Hub) and not origin.local else None,
        "tags": ["rsft_assets", "reasoning"],
    }
    made = outputs[last].manifest
    publication.files[CARD] = card(
        header,
        run.name,
        run.description,
        _using(run, publication.repo, last),
        _schedule(run),
        _scores(scores),
        made_from(made.inputs, publication.licences),
        made_with(made),
    )
    publication.files |= {
        LINEAGE: as_json({"asset": f"checkpoints/{run.model}", "run": run.name, **ancestry.as_json()}),
        **files,
    }
    return publication


def _using(run: Run, repo: str, step: int) -> str:
    return (
        f"Checkpoints of {run.model}, fine-tuned on {run.dataset} with [rsft_assets]({PAPER}): one folder for each "
        "kept optimizer step, with `curves.parquet` (loss) and `seen.parquet` (the rows that were read).\n\n"
        f'```python\nAutoModelForCausalLM.from_pretrained("{repo}", subfolder="step{step}")\n```\n\n'
        "To take them over under the same run, with the same digests, a study that declares it has:\n\n"
        f'```toml\n[adopt."{run.name}"]\nrepo = "{repo}"\n```'
    )


def _schedule(run: Run) -> str:
    schedule = run.schedule
    rows = [
        ("learning rate", f"{schedule.lr:g}, {schedule.decay}, warm-up {schedule.warmup:g}"),
        ("epochs, rows a batch", f"{schedule.epochs:g}, {schedule.batch_size}"),
        ("loss, order", f"{schedule.loss}, {schedule.order}"),
        (
            "weight decay, betas, eps, clip",
            f"{schedule.weight_decay:g}, {schedule.betas}, {schedule.eps:g}, {schedule.clip:g}",
        ),
        ("precision", schedule.precision),
        ("longest row", f"{run.max_length} tokens"),
        ("seed", run.seed),
    ]
    return "## Training\n\n" + table(("", ""), rows)


def _scores(scores: list[Scored]) -> str:
    headings = ("benchmark", "step", "metric", "value", "95 % interval", "items", "cut off")
    rows = [
        (
            one.benchmark.title,
            one.step,
            one.benchmark.metrics[0],
            one.state if one.value is None else f"{one.value:.4f}",
            "" if one.low is None or one.high is None else f"{one.low:.4f} to {one.high:.4f}",
            one.items,
            f"{one.truncated} of {one.samples}",
        )
        for one in scores
    ]
    return f"## Scores\n\n{table(headings, rows)}" if rows else ""
