"""Results: SQL tables, figures and the report as assets."""


def results_keys() -> tuple[str, ...]:
    return ()
