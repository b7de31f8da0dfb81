"""What is recorded for one partition, a range with cells past a run's end, and a range that half fails."""

from dataclasses import replace

import dagster as dg
import pytest

from rsft_assets.commands.terminal import materialize_in_terminal
from rsft_assets.defs import launchers
from rsft_assets.defs.launchers import StepCall, StepFailed
from rsft_assets.defs.placing import PLACEMENT_RESOURCE
from rsft_assets.defs.stages import stage_assets
from rsft_assets.runs.running import failure_of
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import _load
from rsft_assets.steps.processes import hardware
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.stand_ins import stand_in

OWN = """
extends = "nano"
[models.tiny]
family = "qwen3"
parameters = 1000
needs_gpu = false
origin = { repo = "me/tiny", revision = "0123456789abcdef0123456789abcdef01234567" }
[schedules.long]
lr = 1e-3
epochs = 2
batch_size = 32
grid = [10, 20]
[schedules.short]
lr = 1e-3
epochs = 1
batch_size = 64
grid = [10, 20]
[[runs]]
model = "tiny"
dataset = "nano-cot"
schedule = "long"
[[runs]]
model = "tiny"
dataset = "nano-cot"
schedule = "short"
"""
LONG = "1e-3_2x32_nano-cot"
SHORT = "1e-3_1x64_nano-cot"
LONG_NAME = "tiny_nano-cot_lr1e-3_ep2_bs32"


class WritingLauncher:
    """Stands in for the processes alone: publishes what a step would, through the real store."""

    def __init__(self, study, fails=(), siblings=()):
        self.study, self.fails, self.siblings, self.calls = study, set(fails), list(siblings), []
        self.offers = hardware.Capabilities(place="the cluster", cores=8, memory=64 << 30)

    def capabilities(self, home):
        return self.offers

    def run(self, call: StepCall):
        self.calls.append(call)
        partitions = [b for a, b in zip(call.arguments, call.arguments[1:], strict=False) if a == "--partition"]
        assets = list(call.arguments[: call.arguments.index("--partition")]) if partitions else call.arguments
        store = Store(call.home)
        yield {"event": "note", "words": "it will need 3 GiB"}
        for asset in assets:
            for partition in [*self.siblings, *partitions] or [""]:
                if partition in self.fails:
                    continue
                ref = Ref(asset, partition)
                with store.build(self.study, ref, force="--force" in call.arguments) as build:
                    if build.finished is None:
                        stand_in(build.folder, ref)
                        build.publish()
                yield {"event": "published", "asset": asset, "partition": partition}
        if self.fails & set(partitions):
            log = call.home / "step.log"
            log.write_text("the last line")
            raise StepFailed(call, 1, log, "it broke")


@pytest.fixture
def world(tmp_path, monkeypatch):
    (tmp_path / "own.toml").write_text(OWN)
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    study = _load.__wrapped__(str(tmp_path / "own.toml"))
    store = Store(tmp_path / "home")
    launcher = WritingLauncher(study)
    monkeypatch.setitem(launchers.LAUNCHERS, "local", lambda _: launcher)
    for ref in list(_everything_before_checkpoints(study)):
        with store.build(study, ref) as build:
            stand_in(build.folder, ref)
            build.publish()
    instance = dg.DagsterInstance.ephemeral()
    yield study, instance, launcher
    instance.dispose()


def _everything_before_checkpoints(study):
    from rsft_assets.specs.lineage import asset_inputs, asset_keys, partitions_of

    wanted, queue = set(), ["checkpoints/tiny", *[k for k in asset_keys(study) if k.startswith("scores/tiny/")]]
    while queue:
        for key in asset_inputs(study, queue.pop()):
            if key not in wanted and not key.startswith("checkpoints/"):
                wanted.add(key)
                queue.append(key)
    return [Ref(key, p) for key in asset_keys(study) if key in wanted for p in partitions_of(study, key) or ("",)]


def run(study, instance, select, first, last=None, downstream=()):
    @dg.asset(deps=[dg.AssetKey(["checkpoints", "tiny"])])
    def after() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
    keys = [dg.AssetKey(key.split("/")) for key in select] + [dg.AssetKey(key) for key in downstream]
    return dg.materialize(
        [*stage_assets(study), after],
        resources=PLACEMENT_RESOURCE,
        selection=dg.AssetSelection.assets(*keys),
        instance=instance,
        tags=tags,
        raise_on_error=False,
    )


def recorded(instance, key):
    return instance.get_materialized_partitions(dg.AssetKey(key.split("/")))


def versions(instance, key):
    records = instance.fetch_materializations(dg.AssetKey(key.split("/")), limit=100).records
    return {r.asset_materialization.partition: r.asset_materialization.tags["dagster/data_version"] for r in records}


def test_a_range_records_each_cell_with_its_own_version_and_no_cell_past_an_end(world):
    study, instance, launcher = world
    result = run(study, instance, ["checkpoints/tiny"], f"{LONG}|0", f"{SHORT}|40", downstream=["after"])
    assert result.success
    assert recorded(instance, "checkpoints/tiny") == {
        *(f"{LONG}|{step}" for step in (0, 10, 20, 40)),
        *(f"{SHORT}|{step}" for step in (0, 10)),
    }
    assert len(set(versions(instance, "checkpoints/tiny").values())) == 6
    assert len(launcher.calls) == 1, "one process for the whole range"
    assert instance.get_latest_materialization_event(dg.AssetKey("after")), "later assets of the run go on"


def test_a_cell_past_the_end_is_skipped_with_a_line_and_not_recorded(world):
    study, instance, launcher = world
    result = run(study, instance, ["checkpoints/tiny"], f"{SHORT}|40", downstream=["after"])
    assert result.success
    said = [record.user_message for record in instance.all_logs(result.run_id)]
    [line] = [words for words in said if words.startswith("skipped, since their runs keep no such steps: ")]
    assert line.endswith("|40]")
    assert recorded(instance, "checkpoints/tiny") == set()
    assert not launcher.calls
    assert not instance.get_latest_materialization_event(dg.AssetKey("after"))


def test_steps_passed_on_the_way_are_recorded_too(world):
    study, instance, launcher = world
    launcher.siblings = [f"{LONG_NAME}|0", f"{LONG_NAME}|10"]
    assert run(study, instance, ["checkpoints/tiny"], f"{LONG}|20").success
    assert recorded(instance, "checkpoints/tiny") == {f"{LONG}|{step}" for step in (0, 10, 20)}


def test_what_a_step_notes_stands_in_the_log(world):
    study, instance, _launcher = world
    result = run(study, instance, ["checkpoints/tiny"], f"{LONG}|10")
    assert "it will need 3 GiB" in [record.user_message for record in instance.all_logs(result.run_id)]


def test_a_range_that_half_fails_keeps_its_successes_and_says_what_is_missing(world):
    study, instance, launcher = world
    launcher.fails = {f"{LONG_NAME}|20"}
    result = run(study, instance, ["checkpoints/tiny"], f"{LONG}|0", f"{LONG}|40", downstream=["after"])
    assert not result.success
    assert recorded(instance, "checkpoints/tiny") == {f"{LONG}|{step}" for step in (0, 10, 40)}
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    words = failure.user_failure_data.description
    for part in (
        f"{LONG_NAME}|20",
        "it broke",
        "python -m rsft_assets.steps.checkpoints.train",
        "step.log",
        "the last line",
    ):
        assert part in words
    assert not instance.get_latest_materialization_event(dg.AssetKey("after"))


def test_finished_work_is_kept_and_only_the_rest_is_launched(world):
    study, instance, launcher = world
    run(study, instance, ["checkpoints/tiny"], f"{LONG}|0", f"{LONG}|10")
    assert run(study, instance, ["checkpoints/tiny"], f"{LONG}|0", f"{LONG}|20").success
    assert [word for word in launcher.calls[-1].arguments if "|" in word] == [f"{LONG_NAME}|20"]
    states = [
        r.asset_materialization.metadata["state"].value
        for r in instance.fetch_materializations(dg.AssetKey(["checkpoints", "tiny"]), limit=9).records
    ]
    assert sorted(states) == ["kept", "kept", "made", "made", "made"]


@pytest.mark.slow
def test_scores_of_several_benchmarks_and_checkpoints_take_one_process(world):
    study, instance, launcher = world
    scores = [f"scores/tiny/{benchmark.name}" for benchmark in study.benchmarks_of("tiny")]
    result = run(study, instance, ["checkpoints/tiny", *scores], f"{LONG}|0", f"{LONG}|40")
    assert result.success
    assert [call.module.rpartition(".")[2] for call in launcher.calls] == ["train", "score"]
    for key in scores:
        assert recorded(instance, key) == {f"{LONG}|{step}" for step in (0, 10, 20, 40)}


@pytest.mark.slow
def test_a_score_without_its_checkpoint_is_refused_by_name(world):
    study, instance, _launcher = world
    run(study, instance, ["checkpoints/tiny"], f"{LONG}|0")
    key = f"scores/tiny/{study.benchmarks_of('tiny')[0].name}"
    result = run(study, instance, [key], f"{LONG}|0", f"{LONG}|10")
    assert not result.success
    assert recorded(instance, key) == {f"{LONG}|0"}, "the checkpoint that exists was scored"
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert f"rsft materialize checkpoints/tiny --run {LONG_NAME} --step 10" in failure.user_failure_data.description


CARDS = (("card", 80 << 30),)


@pytest.fixture
def needy(world, monkeypatch):
    """A model that needs a GPU, and how to say which of this machine and the launcher has one."""
    study, _instance, launcher = world
    study.models["tiny"] = replace(study.models["tiny"], needs_gpu=True, parameters=1_000_000_000)

    def set_gpus(here, there):
        monkeypatch.setattr(hardware, "gpus", lambda: here)
        launcher.offers = replace(launcher.offers, gpus=there)

    return set_gpus


def test_gpus_of_the_launcher_are_enough_where_this_machine_has_none(world, needy):
    study, instance, launcher = world
    needy(here=(), there=CARDS)
    assert run(study, instance, ["checkpoints/tiny"], f"{LONG}|10").success
    assert len(launcher.calls) == 1


def test_gpus_of_this_machine_do_not_help_a_launcher_without(world, needy, monkeypatch):
    study, instance, launcher = world
    needy(here=CARDS, there=())
    result = run(study, instance, ["checkpoints/tiny"], f"{LONG}|10")
    assert not result.success and not launcher.calls
    assert "the cluster has no GPU" in failure_of(result)
    monkeypatch.setattr("rsft_assets.commands.lock.load_study", lambda: study)
    with pytest.raises(StepError, match="the cluster has no GPU"):
        materialize_in_terminal(Selection(("checkpoints/tiny",), runs=(LONG,)))


def test_the_pool_has_as_many_slots_as_the_cluster(world, monkeypatch):
    study, _instance, launcher = world
    monkeypatch.setitem(launchers.LAUNCHERS, "ray", lambda _: launcher)
    monkeypatch.setenv("RSFT_PLACEMENT_FIELDS", '{"launcher": "ray"}')
    launcher.offers = replace(launcher.offers, slots=4)
    with dg.DagsterInstance.ephemeral(settings={"concurrency": {"pools": {"default_limit": 1}}}) as instance:
        assert run(study, instance, ["checkpoints/tiny"], f"{LONG}|10").success
        assert instance.event_log_storage.get_concurrency_info("gpu").slot_count == 4


def test_a_launcher_that_does_not_see_the_home_starts_nothing(world):
    study, instance, launcher = world
    launcher.offers = replace(launcher.offers, home_visible=False)
    result = run(study, instance, ["checkpoints/tiny"], f"{LONG}|10")
    assert not result.success and not launcher.calls
    assert "the cluster does not see RSFT_HOME=" in failure_of(result)
