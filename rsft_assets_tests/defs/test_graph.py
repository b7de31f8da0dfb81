"""The graph as Dagster sees it, against a stored picture of it.

After a change that is meant: `python -m rsft_assets_tests.defs.test_graph` writes the picture anew.
"""

import json
from pathlib import Path

import dagster as dg

from rsft_assets.definitions import defs

PICTURE = Path(__file__).parent / "graph.json"


def picture() -> dict[str, dict]:
    """Key -> group, upstream keys, partitions and policies; keys of long dimensions as first, last and count."""
    graph = defs.resolve_asset_graph()
    seen = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        seen[key.to_user_string()] = {
            "group": node.group_name,
            "upstream": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": _partitions(node.partitions_def),
            "kinds": sorted(node.kinds),
            "pools": sorted(node.pools or ()),
            "single_run": node.backfill_policy == dg.BackfillPolicy.single_run(),
            "checks": sorted(check.name for check in node.check_keys),
        }
    return seen


def _partitions(definition):
    if definition is None:
        return None
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return {part.name: part.partitions_def.get_partition_keys() for part in definition.partitions_defs}
    keys = definition.get_partition_keys()
    return [keys[0], "…", keys[-1], len(keys)] if len(keys) > 4 else list(keys)


def test_the_graph_is_the_stored_one():
    assert json.loads(PICTURE.read_text()) == json.loads(json.dumps(picture())), (
        "the graph changed; if that is meant: python -m rsft_assets_tests.defs.test_graph"
    )


def test_every_asset_helps_its_reader():
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and len(node.description) > 20, key
        assert node.owners and node.kinds and node.group_name != "default", key
        assert node.code_version or key.path[0] in ("results", "figures", "report"), key


if __name__ == "__main__":
    PICTURE.write_text(json.dumps(picture(), indent=1, ensure_ascii=False) + "\n")
    print(f"{len(picture())} assets written to {PICTURE}")
