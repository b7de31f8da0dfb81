"""How long Dagster's UI takes to say what is stale, with every cell of the paper's study and the nano study recorded.

    python -m rsft_assets_tests.benchmarks.status [FOLDER]

Records a version of every output (minutes; FOLDER keeps them for the next time), starts the webserver and asks it what
the lineage page asks: the graph, the statuses of all tables, of one model's scores, and of everything; then it records
one new score and asks for the tables until they are stale.
"""

import argparse
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from rsft_assets.defs.partitions import dagster_key
from rsft_assets.defs.recording import upstream_tags
from rsft_assets.defs.results import table_materialization
from rsft_assets.specs.lineage import Ref, asset_inputs, asset_keys, partitions_of
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.records.code_version import code_of
from rsft_assets.steps.results.publishing import BuiltTable, Results
from rsft_assets.steps.results.sql_files import tables

NEW = ("scores/qwen3-14b/math500", "scores/nano-300k/nano-dot")


def record(instance: dg.DagsterInstance, study: Study, ref: Ref, version: str) -> None:
    """An output's event with the tags of a real one."""
    tags = {**upstream_tags(instance, asset_inputs(study, ref.asset)), "dagster/code_version": code_of(study, ref)}
    digest = hashlib.sha256(f"{ref} {version}".encode()).hexdigest()
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            ref.asset.split("/"),
            partition=dagster_key(study, ref) or None,
            tags={**tags, "dagster/data_version": digest},
        )
    )


def build_tables(instance: dg.DagsterInstance, study: Study) -> None:
    """Events of all tables, as after a build."""
    results = Results(database="", tables=(), tests=(), problems=(), outputs=0, seconds=0.0, build_id="1")
    for entry in tables():
        schema, name = entry.table.split(".")
        table = BuiltTable(schema=schema, name=name, state="built", digest="1")
        instance.report_runless_asset_event(table_materialization(instance, study, table, results))


def fill(instance: dg.DagsterInstance, study: Study) -> int:
    refs = [Ref(key, part) for key in asset_keys(study) for part in partitions_of(study, key) or ("",)]
    for ref in refs:
        record(instance, study, ref, "1")
    return len(refs)


@contextlib.contextmanager
def webserver(home: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-m", "rsft_assets.definitions"]
    environment = {**os.environ, "DAGSTER_HOME": str(home), "RSFT_HOME": str(home / "rsft")}
    process = subprocess.Popen(
        [*command, "-h", "127.0.0.1", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/graphql"
        for _ in range(600):
            with contextlib.suppress(OSError):
                ask(url, "{version}")
                break
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def ask(url: str, query: str) -> dict:
    request = urllib.request.Request(url, json.dumps({"query": query}).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=3_600) as answer:
        return json.load(answer)["data"]


def statuses(url: str, keys: list[list[str]]) -> Counter[str]:
    named = ", ".join(f"{{path: {json.dumps(key)}}}" for key in keys)
    nodes = ask(url, f"{{assetNodes(assetKeys: [{named}]) {{staleStatus}}}}")["assetNodes"]
    return Counter(node["staleStatus"] for node in nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp())
    home, study = folder.resolve() / "dagster", load_study()
    filled = home.exists()
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").touch()
    instance = dg.DagsterInstance.from_config(str(home))
    if not filled:
        print(f"{fill(instance, study)} outputs recorded in {home}")
    build_tables(instance, study)
    with webserver(home) as url:
        started = time.perf_counter()
        nodes = ask(url, "{assetNodes {assetKey {path} groupName}}")["assetNodes"]
        print(f"graph of {len(nodes)} assets: {time.perf_counter() - started:.2f} s")
        groups = {"tables": "results", "one model": "qwen3_14b", "everything": ""}
        for name, group in groups.items():
            keys = [node["assetKey"]["path"] for node in nodes if node["groupName"] == group or not group]
            started = time.perf_counter()
            found = statuses(url, keys)
            print(f"statuses of {name} ({len(keys)}): {time.perf_counter() - started:.2f} s, {dict(found)}")
        for asset in NEW:
            build_tables(instance, study)
            record(instance, study, Ref(asset, partitions_of(study, asset)[0]), str(time.time_ns()))
            started = time.perf_counter()
            found = statuses(url, [entry.key.split("/") for entry in tables()])
            print(f"after one new score of {asset}: {time.perf_counter() - started:.2f} s, {dict(found)}")


if __name__ == "__main__":
    main()
