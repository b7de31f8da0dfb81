"""What people type: the `rsft` command, the terminal's view of a run, the owner's selection."""
