"""The trainer: one job, on as many processes as the placement says. Base models are pretrained by it, too."""
