"""Cancelling a run in Dagster's UI ends its pieces on every node, and leaves no process, slot or lock."""

import json
import sys

import psutil

from rsft_assets_tests.defs.on_ray.clusters import NEEDS_RAY, RSFT, new_rig, runs, settings, steps_at_work, wait_until

pytestmark = NEEDS_RAY
DEFINITIONS = """
from rsft_assets.defs import materializing
materializing.program_of = lambda stage: "sleeping_step"
from rsft_assets.definitions import defs
"""
ASK = """
import json, sys, urllib.request
as_json = {"Content-Type": "application/json"}
request = urllib.request.Request("http://127.0.0.1:3000/graphql", sys.argv[1].encode(), as_json)
print(urllib.request.urlopen(request).read().decode())
"""
LAUNCH = """mutation Launch($executionParams: ExecutionParams!) {
  launchPipelineExecution(executionParams: $executionParams) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = """mutation Terminate($runIds: [String!]!, $terminatePolicy: TerminateRunPolicy) {
  terminateRuns(runIds: $runIds, terminatePolicy: $terminatePolicy) {
    ... on TerminateRunsResult { terminateRunResults { __typename } } } }"""
STATE = """query State($id: ID!) { runOrError(runId: $id) { ... on Run { status } }
  instance { concurrencyLimit(concurrencyKey: "gpu") { slotCount claimedSlots { runId } } } }"""


def ask(rig, query, **variables):
    """What the webserver answers to the UI's query."""
    text = json.dumps({"query": query, "variables": variables})
    status, said = rig.run([sys.executable, "-c", ASK, text], seconds=60)
    return json.loads(said)["data"] if status == 0 else None


def launched(rig):
    """The id of a run of all shards, as the launchpad starts one."""
    keys = [f"dagster/asset_partition_range_{end}" for end in ("start", "end")]
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "sleeping_definitions",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["responses", "few_n4"]}],
    }
    tags = [{"key": key, "value": value} for key, value in zip(keys, "03", strict=True)]
    answer = ask(rig, LAUNCH, executionParams={"selector": selector, "executionMetadata": {"tags": tags}})
    return answer["launchPipelineExecution"]["run"]["runId"]


def test_cancel_in_the_ui_ends_every_piece(tmp_path_factory):
    with new_rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.add("one", cores=1)
        rig.add("two", cores=1)
        environment = settings(rig, "home")
        status, said = rig.run([*RSFT, "materialize", "queries/few", "--upstream"], **environment)
        assert status == 0, said
        (rig.folder / "sleeping_definitions.py").write_text(DEFINITIONS)
        serve = [sys.executable, "-m", "dagster", "dev", "-m", "sleeping_definitions", "-h", "127.0.0.1", "-p", "3000"]
        ui = rig.start(serve, **environment, DAGSTER_HOME=f"{environment['RSFT_HOME']}/dagster")
        try:
            assert wait_until(lambda: ask(rig, "{ version }"), seconds=240)
            run = launched(rig)
            assert wait_until(lambda: len(steps_at_work(rig)) == 2, seconds=240)
            started = psutil.Process(ui.pid).children(recursive=True)
            drivers = [one for one in started if "rsft_assets.defs.on_ray.driver" in one.cmdline()]
            steps = steps_at_work(rig)
            assert len(drivers) == 1 and len(steps) == 2
            pool = {"slotCount": 2, "claimedSlots": [{"runId": run}]}
            assert ask(rig, STATE, id=run)["instance"]["concurrencyLimit"] == pool, "as many slots as nodes"
            ask(rig, TERMINATE, runIds=[run], terminatePolicy="SAFE_TERMINATE")
            assert wait_until(lambda: ask(rig, STATE, id=run)["runOrError"]["status"] == "CANCELED", seconds=240)
            assert ask(rig, STATE, id=run)["instance"]["concurrencyLimit"]["claimedSlots"] == []
            assert not any(map(runs, (*drivers, *steps))) and len(list((rig.folder / "home").glob("saved *"))) == 2
        finally:
            ui.terminate()
            print(ui.communicate(timeout=240)[0])
        # Neither a slot nor a lock is held.
        status, said = rig.run([*RSFT, "materialize", "responses/few_n4"], **environment)
        assert status == 0, said
