"""Base models that come with the package: the nano study's, as they were made, in the layout of a home.

    python -m rsft_assets.steps.base_models.shipped     # copies those under RSFT_HOME into the package

In: base models made from scratch under RSFT_HOME. Out: `rsft_assets/shipped/`. A shipped model is adopted where its
identity is the one declared now; `rsft materialize base_models/<model> --force` makes it from scratch instead, to the
same bytes on a machine of the same kind.
"""

import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import SHORT
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.checked import difference
from rsft_assets.steps.records.identity import Identity, materialize_command
from rsft_assets.steps.records.manifest import write_manifest
from rsft_assets.steps.records.store import Build, Output, Store

SHIPPED = Path(__file__).parents[2] / "shipped"
_TOLD = ("command", "python", "versions", "commit", "code", "repeatable")
"""What a shipped manifest tells of its making: not the machine and its user."""


def shipped(identity: Identity) -> Output | None:
    """The shipped model of this identity, every byte checked; None where the package has none."""
    folder = _folder(identity)
    if not folder.exists():
        return None
    output = Output.at(folder)
    # Not `damage(content=True)`, which notes beside the files that they were read: the package is not written to.
    if problem := output.damage(content=False) or difference(folder, output.manifest.files):
        raise StepError(
            f"{identity.ref}: the model that comes with the package is damaged: {problem}; install the package again, "
            f"or make the model from scratch: {from_scratch_command(identity.ref)}"
        )
    return output


def is_shipped(identity: Identity) -> bool:
    """Whether the package has a model of this identity, unchecked."""
    return _folder(identity).exists()


def _folder(identity: Identity) -> Path:
    return Store(SHIPPED).slot(identity.ref) / identity.fingerprint[:SHORT]


def from_scratch_command(ref: Ref) -> str:
    """The command that makes a shipped model again."""
    return f"{materialize_command(ref)} --force"


def adopt_shipped(build: Build, source: Output) -> None:
    """Publish a shipped model as this output."""
    for record in source.manifest.files:
        place = build.folder / record.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.folder / record.path, place)
    build.origin = "adopted"
    build.adopted_from = {
        "package": f"rsft_assets {version('rsft_assets')}",
        "made_at": source.manifest.finished_at,
        "made_with": source.manifest.made_by.get("versions"),
        "from_scratch": from_scratch_command(build.identity.ref),
    }
    build.publish(stats=source.stats)


def ship() -> list[Path]:
    """Copy every nano base model that was made from scratch into the package, in place of those there."""
    study, store = load_study(), Store.from_env()
    outputs = []
    for name, model in study.models.items():
        if isinstance(model.origin, Pretraining) and study.member_of[("models", name)] == "nano":
            ref = Ref(f"base_models/{name}")
            output = store.require(ref).verified()
            if output.manifest.fingerprint != store.identity(study, ref).fingerprint:
                raise StepError(f"{ref} was made from other declarations; make it: {from_scratch_command(ref)}")
            if output.manifest.origin != "computed":
                raise StepError(f"{ref} was not made here; make it: {from_scratch_command(ref)}")
            outputs.append(output)
    shutil.rmtree(SHIPPED, ignore_errors=True)
    folders = []
    for output in outputs:
        folder = SHIPPED / output.folder.relative_to(store.home)
        folder = folder.with_name(output.manifest.fingerprint[:SHORT])
        for record in output.manifest.files:
            (folder / record.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(output.folder / record.path, folder / record.path)
        recorded = {name: value for name, value in output.manifest.made_by.items() if name in _TOLD}
        write_manifest(folder, replace(output.manifest, made_by=recorded))
        folders.append(folder)
    return folders


if __name__ == "__main__":
    for folder in ship():
        print(folder)
