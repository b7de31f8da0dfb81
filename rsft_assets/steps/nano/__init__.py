"""The nano study's content: its little language, skills, procedural teacher and pretraining texts."""
