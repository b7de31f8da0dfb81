"""checkpoints/<model>[RUN|STEP]: runs trained through their kept steps, or published checkpoints adopted."""
