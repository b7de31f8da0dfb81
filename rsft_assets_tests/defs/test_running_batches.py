"""What runs after something upstream has failed."""

import dagster as dg
import pytest

from rsft_assets.defs.batches import Batch
from rsft_assets.defs.running_batches import run_batches


@dg.multi_asset(specs=[dg.AssetSpec(["results", "sound"]), dg.AssetSpec(["results", "broken"])])
def tables(context):
    context.log_event(dg.AssetMaterialization(["results", "sound"]))
    raise dg.Failure("broken.sql: no such column", allow_retries=False)


def below(*path, upstream):
    @dg.asset(key=list(path), deps=[["results", upstream]])
    def made():
        pass

    return made


@pytest.mark.parametrize(
    ("path", "upstream", "problem"),
    [
        (("figures", "one"), "broken", ""),
        (("report",), "broken", ""),
        (("other", "table"), "sound", ""),
        (("other", "table"), "broken", "not run, since results/broken failed"),
    ],
)
def test_after_a_failed_table_all_runs_that_can_do_without_it(path, upstream, problem):
    definitions = dg.Definitions(assets=[tables, below(*path, upstream=upstream)])
    batches = [Batch(("results/sound", "results/broken")), Batch(("/".join(path),))]
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = run_batches(definitions, instance, batches)
    assert first.problem == "broken.sql: no such column"
    assert second.problem == problem
