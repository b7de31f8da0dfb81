"""verdicts/<pool>: one verdict for each response; and `rsft verify`, the same for anyone's file."""
