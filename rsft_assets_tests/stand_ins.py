"""Files that let an output of any stage be published, for tests that look at something else."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.columns import FILES_OF_STAGE


def stand_in(folder: Path, ref: Ref, words: str = "") -> None:
    """Every file that the stage of `ref` must hold, with nothing in it but `words`."""
    for pattern in FILES_OF_STAGE[ref.stage]:
        path = folder / pattern.replace("*", "stand-in")
        if path.suffix == ".parquet":
            pq.write_table(pa.table({"words": [words or str(ref)]}), path)
        else:
            path.write_text(words or str(ref))
