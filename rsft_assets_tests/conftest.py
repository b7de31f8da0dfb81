"""Settings of all tests.

Property tests draw the same examples every time, so that a fresh machine sees what CI saw. To look for new ones:

    pytest --hypothesis-profile fuzz [-m ''] PATH

What that finds becomes an `@example` of its test.

In CI no test may be skipped for want of a package that can be had: without those of `[test,ifeval]` nothing starts.
"""

import importlib.metadata
import os
import re
import signal
import threading
import tomllib
from collections.abc import Iterable

import pytest
from hypothesis import settings

from rsft_assets_tests import kept_verifier

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("repeatable")


def missing_packages(requirements: Iterable[str]) -> list[str]:
    """The requirements whose package is not installed."""
    installed = {re.sub(r"[-_.]+", "-", found.name).lower() for found in importlib.metadata.distributions()}
    names = {line: re.match(r"[\w.-]+", line).group() for line in requirements}
    return [line for line, name in names.items() if re.sub(r"[-_.]+", "-", name).lower() not in installed]


def pytest_configure(config: pytest.Config) -> None:
    # Tests neither read nor write what the settings of a person's shell name.
    for name in [name for name in os.environ if re.match(r"RSFT_(?!TEST_)|DAGSTER_HOME$", name)]:
        del os.environ[name]
    if os.environ.get("CI", "").lower() in ("true", "1"):
        project = tomllib.loads((config.rootpath / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        if missing := missing_packages([*extras["test"], *extras["ifeval"]]):
            raise pytest.UsageError(f"CI lacks {', '.join(missing)}; pip install -e '.[test,ifeval]'")


@pytest.fixture(autouse=True, scope="module")
def dagster_home_as_it_was():
    """Opening Dagster's instance sets DAGSTER_HOME, which processes of later tests would inherit."""
    before = os.environ.get("DAGSTER_HOME")
    yield
    os.environ.pop("DAGSTER_HOME", None)
    if before is not None:
        os.environ["DAGSTER_HOME"] = before


@pytest.fixture(autouse=True)
def sigterm_as_it_was():
    """Dagster gives SIGTERM the handler of SIGINT after a run in this process; xdist's workers ignore SIGINT."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")


@pytest.fixture(scope="module")
def quick_verifier():
    """Verifiers that start at once, for tests of what uses one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rsft_assets.steps.verdicts.verifier.workers.ForkServer", kept_verifier.kept_fork_server)
        yield
