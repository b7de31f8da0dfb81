"""A model's programs, run where they can reach nothing: a pool of servers, each isolating one at a time."""
