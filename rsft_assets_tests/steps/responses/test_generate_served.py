"""The generation step with a teacher that a real vLLM server holds, killed and gone on with."""

import importlib.util
from collections import Counter

import pytest

from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model
from rsft_assets_tests.steps.engines.vllm_server import vllm_server
from rsft_assets_tests.steps.responses.test_generate_killed import STUDY_FILE, Steps, exactly_n_each

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]


def test_a_served_teacher_killed_with_the_step_twice(tmp_path):
    folder = make_tiny_model(tmp_path / "tiny", hidden=128)
    teacher = '{ name = "afar", origin = { repo = "some/teacher" } }'
    study = STUDY_FILE.format(queries=60, teacher=teacher, samples=8, tokens=40)
    with vllm_server(folder, tmp_path / "server.log", served_as="some/teacher") as url:
        steps = Steps(tmp_path, "home", study, f'[models.afar]\nengine = "endpoint"\nendpoint = "{url}"\n')
        manifest, rows = steps.generate(kills=2, grow=100)
    exactly_n_each(rows, 60, 8)
    assert len({row["seed"] for row in rows}) == 480
    assert all(row["prompt_tokens"] > 5 and 1 <= row["response_tokens"] <= 40 for row in rows)
    assert all(row["finish_reason"] == "stop" or row["response_tokens"] == 40 for row in rows)
    assert Counter(row["engine"] for row in rows).most_common(1)[0][1] == 480
    made_by = manifest["made_by"]["teacher"]
    assert (made_by["engine"], made_by["endpoint"], made_by["model"]) == ("endpoint", url, "some/teacher")
