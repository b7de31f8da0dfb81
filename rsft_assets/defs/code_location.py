"""Every asset and check of the study, put together."""

import dagster as dg

from rsft_assets.defs.checks import drift_checks
from rsft_assets.defs.figures import figure_assets
from rsft_assets.defs.jobs import jobs, sensors
from rsft_assets.defs.placing import PLACEMENT_RESOURCE
from rsft_assets.defs.process_mark import marking_executor
from rsft_assets.defs.report import report_asset
from rsft_assets.defs.results import results_assets
from rsft_assets.defs.stage_inputs import stage_input_assets
from rsft_assets.defs.stages import stage_assets
from rsft_assets.specs.study import load_study

study = load_study()
declared = jobs(study)
defs = dg.Definitions(
    assets=[*stage_assets(study), stage_input_assets(study), results_assets(study), figure_assets(), report_asset()],
    asset_checks=[drift_checks(study)],
    jobs=declared,
    sensors=sensors(declared),
    executor=marking_executor,
    resources=PLACEMENT_RESOURCE,
)
