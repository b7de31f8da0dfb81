"""The trainer: text to tokens, order, loss weights, packing, attention, DeepSpeed, checkpoints."""
