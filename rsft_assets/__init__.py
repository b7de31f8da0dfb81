"""A data-asset pipeline with lineage for reasoning supervised fine-tuning (RSFT), on Dagster."""
