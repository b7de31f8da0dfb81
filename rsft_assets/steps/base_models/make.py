"""base_models/<model>: a pinned download, a small model that comes with the package, or one pretrained here.

    python -m rsft_assets.steps.base_models.make base_models/nano-300k

In: a hub repository or its mirror, or a mixture of documents. Out: a model in Hugging Face's format; one
made here also holds `curves.parquet`. A killed pretraining resumes from its rolling state.
"""

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.placement import Placement, load_placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.base_models.gate import Level, refuse_below
from rsft_assets.steps.base_models.shipped import adopt_shipped, shipped
from rsft_assets.steps.records.stage import run_stage
from rsft_assets.steps.records.store import Build, Output, Store
from rsft_assets.steps.records.tokenizers import allow_remote_code, load_tokenizer


def make_base_model(
    study: Study, store: Store, ref: Ref, *, force: bool = False, placement: Placement | None = None
) -> Output:
    """The base model as an output of its own, adopted or made."""
    model: Model = study.get("models", ref.name)
    chosen = placement or load_placement(model.name)
    with store.build(study, ref, force=force, placement=chosen.recorded()) as build:
        if build.finished is None:
            if isinstance(model.origin, Hub):
                _adopt(build, model, model.origin)
            elif not force and (source := shipped(build.identity)) is not None:
                adopt_shipped(build, source)
            else:
                from rsft_assets.steps.base_models.pretrain import forget, pretrain

                build.publish(stats=pretrain(study, build, model.origin, chosen, force=force))
                forget(build)
    if isinstance(model.origin, Pretraining):
        # The gate may have been raised since the base model was made.
        levels = {name: Level(**level) for name, level in build.output.stats.get("skills", {}).items()}
        refuse_below(levels, model.origin.gate, model.name)
    return build.output


def _adopt(build: Build, model: Model, hub: Hub) -> None:
    from rsft_assets.steps.checkpoints.training.checkpoints import link_model
    from rsft_assets.steps.checkpoints.training.models import parameters_of
    from rsft_assets.steps.records.hub import model_folder, where_from

    remote = allow_remote_code(model)
    source = model_folder(hub)
    kept = link_model(source, build.folder)
    if model.drop_default_system_prompt:
        from rsft_assets.steps.checkpoints.training.text import drop_default_system_prompt

        tokenizer = load_tokenizer(source, remote_code=remote)
        drop_default_system_prompt(tokenizer)
        for name in ("tokenizer_config.json", "chat_template.jinja", "tokenizer.json"):
            # A linked file is the hub's own copy: writing through the link would change it there.
            (build.folder / name).unlink(missing_ok=True)
        tokenizer.save_pretrained(build.folder)
    build.origin = "adopted"
    build.adopted_from = {"repo": hub.repo, "revision": hub.revision, "file": hub.file, "from": where_from(hub)}
    build.publish(stats={"parameters": parameters_of(build.folder), "files": len(kept)})


if __name__ == "__main__":
    run_stage(make_base_model, __doc__)
