"""Records: where every output lives, which columns it has, and the manifest that makes it one."""
