"""datasets/<dataset>: training sets, chosen from verified responses, from queries or from another set by a recipe."""
