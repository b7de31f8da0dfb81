"""Steps in pieces on the nodes of a Ray cluster."""
