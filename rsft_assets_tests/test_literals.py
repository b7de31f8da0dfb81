"""Numbers that decide weights or text come from specs: none is written at an optimizer, an initialiser or a sampler."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import rsft_assets

STEPS = Path(rsft_assets.__file__).parent / "steps"
ROOMS = ("checkpoints/training", "base_models", "engines")
CALLS = {
    "optimizer": {"AdamW", "Adam", "SGD", "Optimiser", "Optimisation", "Schedule", "learning_rate", "clip_grad_norm_"},
    "initialiser": {"Qwen3Config", "new_qwen3", "manual_seed", "Random", "default_rng", "documents"}
    | {"normal_", "trunc_normal_", "uniform_", "constant_", "kaiming_uniform_", "xavier_uniform_"},
    "sampler": {"SamplingParams", "Sampling", "Request", "multinomial"},
}
FIELDS = {
    "optimizer": {"lr", "betas", "eps", "weight_decay", "warmup", "gradient_clipping", "loss_scale"},
    "initialiser": {"initializer_range", "init_scale", "rope_theta", "rms_norm_eps"},
    "sampler": {"temperature", "top_p", "top_k", "min_p", "max_tokens", "presence_penalty", "frequency_penalty"}
    | {"repetition_penalty", "seed"},
}
"""Of a dictionary (DeepSpeed's, vLLM's and a server's settings), of any call, or of an item that is set."""
ALLOWED = {
    ("engine.py", "gradient_clipping"): "0 at stage 0, where `apply` clips",
    ("endpoint.py", "repetition_penalty"): "a factor of 1: no penalty, as everywhere",
    ("probes.py", "temperature"): "the gate asks greedily; it is no part of an identity",
    ("probes.py", "max_tokens"): "of the gate, which is no part of an identity",
    ("probes.py", "seed"): "greedy answers use none",
    ("vllm_engine.py", "seed"): "of vLLM itself; each request has its own",
    ("vllm_engine.py", "top_k"): "vLLM's 0 is the spec's -1: no cut",
    ("vllm_engine.py", "logprobs"): "how many are reported",
}


def literals(code: str) -> tuple[Counter[str], list[tuple[int, str]]]:
    """(places looked at, by kind; line and name of each that has a number of its own)."""
    tree = ast.parse(code)
    constants = _constants(tree)
    looked, found = Counter[str](), []
    for node in ast.walk(tree):
        for name, kinds, value in _places(node):
            for kind, names in kinds.items():
                if name in names:
                    looked[kind] += 1
                    found += [(value.lineno, name)] if _has_number(value, constants) else []
    return looked, found


def _places(node: ast.AST):
    """(name, what it is looked up in, value) of the arguments of a call, the items of a dictionary, a set item."""
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        watched = [kind for kind, names in CALLS.items() if called in names]
        for value in node.args:
            yield called, CALLS, value
        for keyword in node.keywords:
            name = keyword.arg or called
            yield name, {kind: {name} for kind in watched} or FIELDS, keyword.value
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield getattr(key, "value", None), FIELDS, value
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                yield getattr(target.slice, "value", None), FIELDS, node.value


def _constants(tree: ast.Module) -> set[str]:
    """Names that stand for a number: assigned one, or with one as a parameter's default."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _has_number(node.value, set()):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            defaults = [*zip(reversed(positional), reversed(node.defaults), strict=False)]
            defaults += zip(node.kwonlyargs, node.kw_defaults, strict=True)
            names |= {argument.arg for argument, value in defaults if value and _has_number(value, set())}
    return names


def _has_number(value: ast.expr, constants: set[str]) -> bool:
    """A number anywhere in an expression, calls within it left out: those are looked at by themselves."""
    if isinstance(value, ast.Constant):
        return type(value.value) in (int, float)
    if isinstance(value, ast.Name):
        return value.id in constants
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") not in ("max", "min", "float", "int", "round"):
        return False
    if isinstance(value, ast.Subscript | ast.Attribute | ast.comprehension | ast.Lambda):
        return False
    return any(_has_number(part, constants) for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr))


def test_no_number_of_a_result_is_written_in_a_step():
    looked, places = Counter[str](), []
    files = [path for room in ROOMS for path in sorted((STEPS / room).rglob("*.py"))]
    for path in files:
        counted, found = literals(path.read_text(encoding="utf-8"))
        looked += counted
        places += [(path.name, name, f"{path.relative_to(STEPS)}:{line} {name}") for line, name in found]
    assert [place for file, name, place in places if (file, name) not in ALLOWED] == []
    assert {(file, name) for file, name, _ in places} == ALLOWED.keys(), "an exception that nothing needs any more"
    assert len(files) > 35 and all(looked[kind] >= 15 for kind in CALLS), f"the walk must see the calls: {looked}"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.95))", "betas"),
        ("AdamW(parameters, -0.5)", "AdamW"),
        ("config = {'gradient_clipping': 1.0}", "gradient_clipping"),
        ("group['lr'] = 0.1 * rate", "lr"),
        ("WARMUP = 0.05\nSchedule(lr=spec.lr, warmup=WARMUP)", "warmup"),
        (
            "def make(spec, scale=0.8):\n    return Qwen3Config(initializer_range=scale * spec.hidden)",
            "initializer_range",
        ),
        ("Qwen3Config(num_key_value_heads=max(1, spec.heads))", "num_key_value_heads"),
        ("Qwen3Config(rope_parameters={'rope_theta': 1e4})", "rope_theta"),
        ("torch.nn.init.normal_(weight, std=0.02)", "std"),
        ("torch.manual_seed(17)", "manual_seed"),
        ("documents(mixture, spec.seed + 1_000_003)", "documents"),
        ("SamplingParams(temperature=wanted.temperature, top_p=0.9)", "top_p"),
        ("engine.draw(logits, top_k=5)", "top_k"),
        ("body |= {'min_p': 0.05}", "min_p"),
    ],
)
def test_a_number_that_is_put_in_is_found(code, name):
    assert name in [found for _, found in literals(code)[1]]


@pytest.mark.parametrize(
    "code",
    [
        "torch.optim.AdamW(parameters, lr=spec.lr, betas=spec.betas, fused=True)",
        "Qwen3Config(hidden_size=spec.hidden, tie_word_embeddings=True, bos_token_id=None)",
        "random.Random(request.seed)",
        "body = {'seed': request.seed, 'logprobs': 0}",
    ],
)
def test_what_a_spec_says_is_no_number_of_its_own(code):
    looked, found = literals(code)
    assert looked and not found
