"""HOW each thing is made: functions from paths to files, each also `python -m rsft_assets.steps.<stage>.<program>`."""
