"""What a selection would cost: what is outstanding, how much that is, what it takes; and afterwards what it took."""
