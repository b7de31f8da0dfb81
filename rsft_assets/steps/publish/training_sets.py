"""A training set as a data set repository: its Parquet files as they are, a data card, the lineage."""

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.publish.card import PAPER, card, made_from, made_with, table
from rsft_assets.steps.publish.lineage import Ancestry
from rsft_assets.steps.publish.publication import CARD, LINEAGE, Publication, as_json
from rsft_assets.steps.records.columns import EXAMPLES_FILE, HELD_OUT_FILE, KINDS
from rsft_assets.steps.records.store import Output, Store

_SECOND_OPINION = {
    "correct_but_different": "correct, but another answer",
    "wrong_but_same": "wrong, but the same answer",
    "undecided": "none could be given",
}
_SPLITS = {EXAMPLES_FILE: "train", HELD_OUT_FILE: "held_out"}


def publication_of_set(study: Study, store: Store, ref: Ref, owner: str, licence: str | None) -> Publication:
    """What the repository of a training set is to hold."""
    output = store.require(ref).verified()
    ancestry = Ancestry(study, store, [output])
    publication = Publication(str(ref), "dataset", f"{owner}/{ref.name}", licences=ancestry.licences())
    publication.files = {name: output.file(name) for name in _SPLITS if output.has(name)}
    splits = [{"split": split, "path": name} for name, split in _SPLITS.items() if output.has(name)]
    header = {
        "license": licence,
        "pretty_name": ref.name,
        "task_categories": ["text-generation"],
        "tags": ["rsft_assets", "reasoning"],
        "configs": [{"config_name": "default", "data_files": splits}],
    }
    description = study.datasets[ref.name].description if ref.name in study.datasets else ""
    publication.files[CARD] = card(
        header,
        ref.name,
        description,
        _adopting(ref, publication.repo, output.stats["rows"]),
        _counts(output),
        _audits(store, ancestry),
        _columns(),
        made_from(output.manifest.inputs, publication.licences),
        made_with(output.manifest),
    )
    publication.files[LINEAGE] = as_json({"asset": str(ref), **ancestry.as_json()})
    return publication


def _adopting(ref: Ref, repo: str, rows: int) -> str:
    return (
        f"A training set of [rsft_assets]({PAPER}). To take it over under the same name, with the same digest, a study "
        f'that declares it has:\n\n```toml\n[adopt_datasets]\n"{ref.name}" = {{ repo = "{repo}" }}\n```\n\n'
        f'Any other study declares it:\n\n```toml\n[datasets."{ref.name}"]\nrecipe = "published"\nrows = {rows}\n'
        f'published = {{ repo = "{repo}", kind = "dataset" }}\n```'
    )


def _counts(output: Output) -> str:
    stats = output.stats
    decontamination = stats.get("decontamination", {})
    rows = [("rows", stats["rows"]), ("held-out rows, for a loss", stats.get("held_out_rows", 0))]
    rows += [(f"rows judged {verdict}", count) for verdict, count in stats.get("verdicts", {}).items()]
    rows += [(f"left after {step['filter']}", step["left"]) for step in stats.get("filters", ())]
    if contaminated := stats.get("checks", {}).get("contaminated", {}).get("value"):
        rows.append(("questions that are items of a benchmark, too", contaminated))
    rows += [(f"questions removed, in {name}", count) for name, count in decontamination.get("removed", {}).items()]
    rows += [
        (f"not checked against {name}", "its items were not available") for name in decontamination.get("unchecked", ())
    ]
    lengths = ", ".join(f"{name} {value}" for name, value in stats.get("response_characters", {}).items())
    return "## Counts\n\n" + table(("", ""), [*rows, *([("characters of a response", lengths)] if lengths else [])])


def _audits(store: Store, ancestry: Ancestry) -> str:
    """How often a second opinion differs from the verdicts, where the audit of these very verdicts is there."""
    used = {(made.asset, made.partition): made.digest for made in ancestry.manifests.values()}
    rows = []
    for pool in sorted({Ref(asset).name for asset, _ in used if Ref(asset).stage == "verdicts"}):
        audit = store.sound(Ref(f"audits/{pool}"))
        links = audit.manifest.inputs if audit else []
        if audit is not None and all(used.get((i.asset, i.partition)) == i.digest for i in links):
            shares = audit.stats.get("second_opinion", {})
            for name, description in _SECOND_OPINION.items():
                if share := shares.get(name):
                    interval = f"{share['low']:.4f} to {share['high']:.4f}"
                    rows.append((pool, description, f"{share['value']:.4f}", interval, share["tries"]))
    headings = ("pool", "a second opinion on its verdicts", "share", "95 % interval", "responses")
    return f"## Verdicts\n\n{table(headings, rows)}" if rows else ""


def _columns() -> str:
    return "## Columns\n\n" + table(("column", "type", ""), ((c.name, c.type, c.about) for c in KINDS["examples"]))
