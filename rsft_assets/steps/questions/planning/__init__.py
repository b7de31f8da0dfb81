"""What a selection would cost, and what it did cost."""
