"""A job as the UI runs it: through the executor of the code location, in a process that loads it by name."""

import os
import time

import dagster as dg

from rsft_assets.defs.process_mark import marking_executor


@dg.asset(pool="gpu")
def slow() -> None:
    print("at work", flush=True)
    time.sleep(float(os.environ["SLOW_SECONDS"]))


def slow_job() -> dg.JobDefinition:
    jobs = [dg.define_asset_job("slow_job")]
    return dg.Definitions(assets=[slow], jobs=jobs, executor=marking_executor).resolve_job_def("slow_job")
