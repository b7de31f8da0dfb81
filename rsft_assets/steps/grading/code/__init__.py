"""Running untrusted programs: a jail made of namespaces, a client that feeds it, and the task that judges by it."""
