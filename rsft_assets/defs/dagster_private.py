"""Private names of Dagster that the package uses. No other module imports any.

A patch of Dagster may change them. `rsft_assets_tests/defs/test_dagster_private.py` fails when one of them is gone or
changes its behaviour, and CI runs it on the newest patch.
"""

from dagster._check import CheckError as CheckError
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph as AssetGraph
from dagster._core.definitions.data_version import DEFAULT_DATA_VERSION as DEFAULT_DATA_VERSION
from dagster._core.definitions.data_version import NULL_DATA_VERSION as NULL_DATA_VERSION
from dagster._core.definitions.data_version import NULL_EVENT_POINTER as NULL_EVENT_POINTER
from dagster._core.definitions.source_asset import (
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES as NOT_FINISHED_STATUSES
