"""Where a revision comes from: declared, pinned in the study file, or locked; and what a study file overrides."""

import pytest

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref, spec_of
from rsft_assets.specs.lock import LockedFile, LockedRepository, lock_text, read_lock
from rsft_assets.specs.repositories import repositories
from rsft_assets.specs.study import _load, load_study
from rsft_assets.steps.questions.planning.closure import closure

PIN = "0123456789abcdef0123456789abcdef01234567"
LOCKED = "89abcdef0123456789abcdef0123456789abcdef"
OPENR1, MATH500 = "open-r1/OpenR1-Math-220k", "HuggingFaceH4/MATH-500"


def read(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return _load.__wrapped__(str(path))


def lock_of(tmp_path, *entries):
    (tmp_path / "rsft.lock").write_text(lock_text(entries))


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """The study with a study file and a lock beside it."""

    def read(text, *entries):
        path = tmp_path / "own.toml"
        path.write_text(text)
        lock_of(tmp_path, *entries)
        monkeypatch.setenv("RSFT_STUDY", str(path))
        return load_study()

    return read


def test_the_packages_lock_knows_the_papers_models():
    study = load_study()
    assert study.models["qwen3-14b"].origin.revision == "0b0bd3732e2c374d483664439ea334928b65f304"
    assert study.pools["openr1-math_qwen3-32b_n32"].teacher.origin.revision is not None
    assert study.runs["qwen3-8b_math-cot-20k_lr5e-5_ep8_bs256"].published.revision is not None


def test_declared_before_pinned_before_locked(changed):
    entries = [
        LockedRepository(kind="dataset", name=name, revision=LOCKED) for name in (OPENR1, MATH500, "google/IFEval")
    ]
    study = changed(f'[override.benchmarks.math500]\nrevision = "{PIN}"\n[pins]\n"{OPENR1}" = "{PIN}"\n', *entries)
    assert study.benchmarks["math500"].origin.revision == PIN
    assert study.sources["openr1-math-220k"].origin.revision == PIN
    assert study.benchmarks["ifeval"].origin.revision == LOCKED
    assert study.benchmarks["mmlu_pro"].origin.revision is None


def test_own_entries_come_before_the_packages(changed):
    study = changed("", LockedRepository(kind="model", name="Qwen/Qwen3-14B-Base", revision=LOCKED))
    assert study.models["qwen3-14b"].origin.revision == LOCKED
    assert study.models["qwen3-8b"].origin.revision is not None


def test_a_revision_is_the_same_identity_wherever_it_stands(changed):
    ref = Ref("benchmarks/math500")
    declared = changed(f'[override.benchmarks.math500]\nrevision = "{PIN}"')
    pinned = changed(f'[pins]\n"{MATH500}" = "{PIN}"')
    locked = changed("", LockedRepository(kind="dataset", name=MATH500, revision=PIN, gated=True, licence="mit"))
    specs = [fingerprint(spec_of(study, ref)) for study in (declared, pinned, locked)]
    assert len(set(specs)) == 1
    assert specs[0] != fingerprint(spec_of(changed(""), ref))


def test_a_lock_leaves_sets_that_read_no_published_file_as_they_were(changed):
    ref = Ref("datasets/math-nocot-20k")
    before = spec_of(changed(""), ref)
    locked = LockedRepository(kind="dataset", name="jasonrqh/Math-NoCoT-20k", revision=PIN)
    assert spec_of(changed("", locked), ref) == before


def test_overrides_change_fields_and_those_of_the_origin(changed):
    study = changed(
        """
        [override.benchmarks.hex_phi]
        items = 330
        [override.benchmarks.math500]
        repo = "me/math"
        sampling = { n = 1 }
        [override.models."qwen3-8b"]
        parameters = 9
        [override.sources.openr1-math-220k]
        limit = 10
        """
    )
    assert study.benchmarks["hex_phi"].items == 330
    assert (study.benchmarks["math500"].origin.repo, study.benchmarks["math500"].sampling.n) == ("me/math", 1)
    assert study.benchmarks["math500"].origin.split == "test"
    assert (study.models["qwen3-8b"].parameters, study.sources["openr1-math-220k"].limit) == (9, 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[override.benchmark.math500]", "override: unknown table 'benchmark': did you mean benchmarks"),
        ("[override.benchmarks]\nmath500 = 3", "override.benchmarks.math500: 3 must be a table of fields"),
        ("[override.benchmarks.math50]\nitems = 3", "unknown benchmark 'math50': did you mean math500"),
        ("[override.benchmarks.math500]\nitms = 3", "override.benchmarks.math500: unknown field 'itms'"),
        ("[override.benchmarks.math500]\nname = 'm'", "override.benchmarks.math500: unknown field 'name'"),
        ("[override.benchmarks.math500]\nitems = 'all'", "field items: 'all' must be a whole number"),
        ("[override.benchmarks.math500]\nrevision = 'main'", "'main' is not a commit; pin one"),
        ("[override.models.qwen3-8b]\nparameters = 0", "field parameters: 0 must be above 0"),
        ("[override.benchmarks.math500]\nitems = -3", "field items: -3 must be above 0"),
        ("[override.sources.openr1-math-220k]\nlimit = 0", "field limit: 0 must be above 0"),
        ("[pins]\n'me/m' = 'main'", "pins.me/m: field revision: 'main' is not a commit"),
        ("[pins]\n'me/m' = 3", "pins.me/m: field revision: 3 must be text"),
        (f"[pins]\n'me/m' = '{PIN}'", "pins 'me/m': nothing reads this repository"),
        ("[benchmarks.math500]\ntitle='a'\ngroup='safety'\norigin={repo='a/b'}\ntask='math'\nsampling={}", "items is"),
    ],
)
def test_mistakes_in_overrides_and_pins(tmp_path, text, words):
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "RSFT_STUDY=" in str(caught.value)


def test_a_lock_says_what_it_was_given(tmp_path):
    files = (
        LockedFile(name='a "b"\x7f.json', size=3, git="0" * 40),
        LockedFile(name="z", size=1 << 40, sha256="1" * 64),
    )
    entries = [
        LockedRepository(kind="model", name="z/z", revision=PIN),
        LockedRepository(
            kind="dataset", name="a/a", revision=PIN, resolved="2026-01-01", gated=True, licence="mit", files=files
        ),
    ]
    lock_of(tmp_path, *entries)
    assert list(read_lock(tmp_path / "rsft.lock").values()) == entries[::-1]
    assert lock_text(entries) == lock_text(entries[::-1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[repository]]\nkind = 'model'\nname = 'a/b'", "repository[0]: field revision is missing"),
        (f"[[repository]]\nkind = 'x'\nname = 'a/b'\nrevision = '{PIN}'", "'x' is not one of model, dataset"),
        (f"[[repository]]\nkind = 'model'\nname = 'a/b'\nrevision = '{PIN}'\n" * 2, "a/b is locked twice"),
        ("repository = 3", "must be a list of tables, [[repository]]"),
        (
            f"[[repository]]\nkind = 'model'\nname = 'a/b'\nrevision = '{PIN}'\nfiles = [{{ name = 'a', size = -1 }}]",
            "repository[0]: field files[0]: field size: -1 must be at least 0",
        ),
    ],
)
def test_mistakes_in_a_lock(tmp_path, monkeypatch, text, words):
    path = tmp_path / "my.lock"
    path.write_text(text)
    monkeypatch.setenv("RSFT_LOCK", str(path))
    with pytest.raises(SpecError) as caught:
        load_study()
    assert words in str(caught.value)
    assert f"RSFT_LOCK={path}" in str(caught.value)


ADOPTED_DATA = """
[adopt_datasets]
"math-*" = {}
[adopt_pools]
"openr1-math_qwen3-32b_n32" = {}
"""


def test_published_sets_and_pools_stand_under_our_names(changed):
    declared, study = load_study(), changed(ADOPTED_DATA)
    assert set(study.runs) == set(declared.runs)
    adopted = {name for name, one in study.datasets.items() if one.recipe == "published"}
    assert adopted == {"math-cot-20k", "math-nocot-20k"}, "a glob takes what is published"
    score = Ref("scores/qwen3-8b/math500", "qwen3-8b_math-cot-20k_lr5e-5_ep8_bs256|640")
    stages = {ref.stage for ref in closure(study, [score])}
    assert stages == {"scores", "checkpoints", "base_models", "datasets", "benchmarks"}
    assert {ref.stage for ref in closure(declared, [score])} > stages
    responses = Ref("responses/openr1-math_qwen3-32b_n32", "00")
    assert [one.name for one in repositories(study, [responses])] == [
        "jasonrqh/Math-CoT-44k-Qwen3-32b-n32-16384-with-logprob-and-entropy"
    ]
    assert [one.name for one in repositories(declared, [responses])] == ["Qwen/Qwen3-32B"]


def test_where_responses_are_published_is_no_identity(changed):
    ref = Ref("responses/openr1-math_qwen3-32b_n32", "00")
    assert "published" not in spec_of(load_study(), ref)
    assert spec_of(changed(ADOPTED_DATA), ref)["adopted"]["repo"].startswith("jasonrqh/Math-CoT-44k")


def test_another_repository_has_files_and_revisions_of_its_own(changed):
    study = changed('[adopt_datasets."math-cot-20k"]\nrepo = "./mine"\nfile = "mine.jsonl"\n')
    published = study.datasets["math-cot-20k"].published
    assert (published.repo, published.file, published.revision, published.sha256) == (
        "./mine",
        "mine.jsonl",
        None,
        None,
    )


def test_a_lock_entry_stays_inside_its_repository(tmp_path, monkeypatch):
    for name in ("/etc/passwd", "../../up.json", "a/../../b"):
        entry = LockedRepository(kind="dataset", name="a/b", revision=PIN, files=(LockedFile(name=name, size=1),))
        (tmp_path / "rsft.lock").write_text(lock_text([entry]))
        with pytest.raises(SpecError, match="leads out of the repository"):
            read_lock(tmp_path / "rsft.lock")


def test_a_lock_gives_an_adopted_set_its_revision(changed):
    locked = LockedRepository(kind="dataset", name="jasonrqh/Math-NoCoT-20k", revision=PIN)
    assert changed(ADOPTED_DATA, locked).datasets["math-nocot-20k"].published.revision == PIN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[adopt_datasets.'maths-*']", "adopt_datasets 'maths-*': no data set matches"),
        ("[adopt_datasets.'math-cot-2.5k']", "recipe 'published' needs the repository or folder of the set"),
        ("[adopt_pools.countdown_qwen3-32b_n1]", "no published responses are known; name their repository as `repo`"),
        ("[adopt_datasets.'math-*']\nrepo = 'a/b'", "repo would apply to everything that matches; name one"),
        ("[adopt_pools]\nx = 3", "adopt_pools.x: 3 must be a table of fields"),
    ],
)
def test_mistakes_in_adopted_data(tmp_path, text, words):
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
