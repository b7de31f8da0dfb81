"""Drift: what has changed since an output was made. It is reported and changes nothing."""

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.code_version import code_of
from rsft_assets.steps.records.identity import changed_fields
from rsft_assets.steps.records.store import Output, Store


def drift(study: Study, store: Store, output: Output) -> list[str]:
    """Every difference between how an output was made and how it would be made now."""
    manifest = output.manifest
    changes = []
    try:
        identity = store.identity(study, manifest.ref)
        changes += [f"changed since: {field}" for field in changed_fields(manifest, identity)]
    except StepError as error:
        changes.append(str(error))
    then = manifest.made_by.get("code")
    if manifest.origin == "computed" and then is not None and then != (now := code_of(study, manifest.ref)):
        changes.append(f"the code of {manifest.ref.stage} has changed since (was {then}, is {now})")
    return changes
