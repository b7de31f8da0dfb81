"""How training sets are chosen: candidates from verdicts, decontamination, derived sets, facts about the result."""
