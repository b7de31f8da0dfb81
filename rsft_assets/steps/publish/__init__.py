"""Publishing on a hub: what is sent, what is never sent, its card and lineage, and the sending itself."""
