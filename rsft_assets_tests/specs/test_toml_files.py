"""The three files that a user writes: every mistake is answered with setting, file, place, value and what is valid."""

import pytest

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.judges import JudgeSpec, judge_specs
from rsft_assets.specs.placement import Placement, load_placement
from rsft_assets.specs.study import _load

READERS = {
    "RSFT_STUDY": lambda path: _load.__wrapped__(str(path)),
    "RSFT_PLACEMENT": lambda path: load_placement("small"),
    "RSFT_JUDGES": lambda path: judge_specs(),
}
JUDGE = '[harm]\nendpoint = "http://x/v1"\nmodel = "m"\n'
ORIGIN = (
    'layers = 1, hidden = 8, heads = 2, mixture = "nano-skills", steps = 1, batch_tokens = 8, lr = 0.1, context = 64'
)
MODEL = f'[models.m]\nfamily = "qwen3"\nparameters = 9\norigin = {{ {ORIGIN}, seed = 1%s }}\n'
FROM_HUB = '[models.m]\nfamily = "qwen3"\nparameters = %s\norigin = { repo = "me/m" }\n'


def read(setting, folder, monkeypatch, content):
    path = folder / "file.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(setting, str(path))
    return READERS[setting](path)


def mistake(setting, folder, monkeypatch, content):
    with pytest.raises(SpecError) as caught:
        read(setting, folder, monkeypatch, content)
    words = str(caught.value)
    assert words.startswith(f"{setting}={folder / 'file.toml'}: ")
    return words


@pytest.mark.parametrize("setting", READERS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory; name a readable TOML file or unset"),
        (b"a = '\xff'", "not UTF-8 at byte 5"),
        ("a = ", "not valid TOML"),
        ("a = 1\n<<<<<<< HEAD\nb = 2\n=======\n>>>>>>> theirs\n", "it holds conflict markers of a merge; correct the"),
        (f"a = {'[' * 20_000}", "nested too deeply"),
        (f"a = {'9' * 5_000}", "not valid TOML"),
        ("judge = 1", "unknown table 'judge'"),
    ],
    ids=["missing", "bytes", "syntax", "conflict", "nested", "digits", "table"],
)
def test_what_no_reader_takes(setting, content, words, tmp_path, monkeypatch):
    assert words in mistake(setting, tmp_path, monkeypatch, content)


@pytest.mark.parametrize("setting", READERS)
def test_a_folder_is_no_file(setting, tmp_path, monkeypatch):
    (tmp_path / "file.toml").mkdir()
    assert "Is a directory" in mistake(setting, tmp_path, monkeypatch, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("models = 1", "models: 1 must be tables, [models.some-name]"),
        ("[models]\nx = 1", "models.x: 1 must be a table of fields"),
        ("[models]\nx = 0x" + "f" * 9_000, "models.x: a value of type int, too long to show, must be a table"),
        ("extends = ['nano']", "field extends: ['nano'] is not one of paper, nano"),
        ("[runs.x]\nmodel = 'm'", "runs must be a list of tables, [[runs]]"),
        ("[[runs]]\nmodel = 3", "runs[0]: field model: 3 must be text in quotes"),
        ("runs = [1]", "runs[0]: 1 must be a table of fields"),
        ("[schedules.s]\nlr = inf\nepochs = 1\nbatch_size = 1", "schedules.s: field lr: inf must be a finite number"),
        ("[schedules.s]\nlr = 30\nepochs = 1\nbatch_size = 1", "schedules.s: field lr: 30.0 must be at most 1"),
        ("[schedules.s]\nlr = '1'\nepochs = 1\nbatch_size = 1", "schedules.s: field lr: '1' must be a number"),
        ("[schedules.s]\nlr = 0.1\nepochs = 1\nbatch_size = 1\nbetas = [0.9]", "field betas: [0.9] must have 2 values"),
        ("[schedules.s]\nlr = 0.1\nepochs = 1\nbatch_size = 1\nbetas = [0.9, 1]", "betas: 1.0 must be at most 0.99999"),
        (FROM_HUB % (1 << 70), "models.m: field parameters: an integer of 71 bits"),
        (FROM_HUB % "true", "models.m: field parameters: True must be a whole number"),
        (FROM_HUB % "9\nname = 'n'", "models.m: unknown field 'name'"),
        (MODEL % ", learning_rate = 1", "models.m: field origin: unknown field 'learning_rate'"),
        (MODEL % ", precision = 'fp16'", "field precision: 'fp16' is not one of bf16, bf16-pure, fp32"),
        (MODEL % ", init_scale = nan", "models.m: field origin: field init_scale: nan must be a finite number"),
        (MODEL % ", init_scale = 0", "field init_scale: 0.0 must be above 0"),
        (MODEL % ", warmup = 1.5", "field warmup: 1.5 must be at most 1"),
        (MODEL % ", clip = -1", "field clip: -1.0 must be at least 0"),
        (MODEL % ", heads_per_key_value = 3", "field heads_per_key_value: 3: heads, 2, must be a multiple of it"),
        ((MODEL % "").replace("layers = 1,", "layers = 1_000_000_000,"), "layers: 1000000000 must be at most 1000"),
        ((MODEL % "").replace("[models.m]", "[models.'current.json']"), "every output has a file of that name"),
        ((MODEL % "").replace("[models.m]", f"[models.{'m' * 300}]"), "field name: 300 characters; use at most 200"),
        ("[schedules.s]\nlr = 0.1\nepochs = 1\nbatch_size = 1\ngrid = [-5]", "field grid: -5 must be at least 0"),
        (MODEL % ", positions = 32", "field context: 64: it must be at most positions, 32"),
        (MODEL % ", held_out_seed = 1", "field held_out_seed: 1: it is the seed of the training documents"),
        ((MODEL % "").replace("heads = 2", "heads = 3"), "field heads: 3: hidden, 8, must be an even multiple of it"),
        ((MODEL % "").replace("heads = 2", "heads = 8"), "field heads: 8: hidden, 8, must be an even multiple of it"),
        (
            "[sources.s]\nkind = 'math'\norigin = { name = 'sums', seed = 1, count = 2, options = [['x', nan]] }",
            "sources.s: field origin: field options: nan must be a finite number",
        ),
        ("[adopt]\n'qwen3-*' = 3", "adopt.qwen3-*: 3 must be a table of fields"),
        ("[adopt.'qwen3-*']\nrepo = 'me/m'", "adopt.qwen3-*: repo would apply to everything that matches"),
        ("[adopt.'qwen4-*']", "adopt 'qwen4-*': no run matches"),
    ],
)
def test_study_files(content, words, tmp_path, monkeypatch):
    assert words in mistake("RSFT_STUDY", tmp_path, monkeypatch, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("default = 3", "default: 3 must be a table of fields"),
        ("models = 3", "models: 3 must be tables, [models.some-name]"),
        ("[models]\nx = 1", "models.x: 1 must be a table of fields"),
        ("[defaults]", "unknown table 'defaults': did you mean default"),
        ("[models.other]\nprocesses = 0", "models.other: field processes: 0 must be above 0"),
        ("[models.other]\nengin = 'vllm'", "models.other: unknown field 'engin': did you mean engine"),
        ("[default]\nzero_stage = true", "field zero_stage: True is not one of 0, 1, 2, 3"),
        ("[default]\nruns = -1", "field runs: -1 must be at least 0"),
        ("[default]\nendpoint = 'localhost:8000'", "field endpoint: 'localhost:8000' must be a URL such as http://"),
        ("[default]\nendpoint = 'http://x:99999/v1'", "field endpoint: 'http://x:99999/v1' must be a URL"),
        ("[default]\nendpoint = 'http:///v1'", "field endpoint: 'http:///v1' must be a URL"),
        ("[default]\nendpoint = 'me:secret@x/v1'", "field endpoint: (not shown: it may hold a password) must be a URL"),
    ],
)
def test_placement_files(content, words, tmp_path, monkeypatch):
    assert words in mistake("RSFT_PLACEMENT", tmp_path, monkeypatch, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("harm = 'me'", "harm: 'me' must be a table of fields"),
        (JUDGE.replace("harm", "harms"), "unknown table 'harms': did you mean harm?"),
        (JUDGE.replace("model", "modell"), "harm: unknown field 'modell': did you mean model"),
        (JUDGE.replace('model = "m"', ""), "harm: field model is missing"),
        (JUDGE.replace("http://x/v1", ""), "harm: field endpoint: '' must be a URL"),
        (JUDGE.replace("http:", "ftp:"), "harm: field endpoint: 'ftp://x/v1' must be a URL"),
        (JUDGE + "usd_per_million_tokens = '3'", "harm: field usd_per_million_tokens: '3' must be a number"),
        (JUDGE + "usd_per_million_tokens = -3", "harm: field usd_per_million_tokens: -3.0 must be at least 0"),
        (JUDGE + "usd_per_million_tokens = inf", "harm: field usd_per_million_tokens: inf must be a finite number"),
    ],
)
def test_judges_files(content, words, tmp_path, monkeypatch):
    assert words in mistake("RSFT_JUDGES", tmp_path, monkeypatch, content)


def test_a_byte_order_mark_is_accepted(tmp_path, monkeypatch):
    judges = read("RSFT_JUDGES", tmp_path, monkeypatch, b"\xef\xbb\xbf" + JUDGE.encode())
    assert judges == {"harm": JudgeSpec("harm", "http://x/v1", "m")}
    placed = read(
        "RSFT_PLACEMENT", tmp_path, monkeypatch, b"\xef\xbb\xbf[default]\nruns = 0\n[models.small]\nthreads = 2"
    )
    assert placed == Placement(threads=2)
