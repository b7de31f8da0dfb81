"""The columns of every kind of record; SQL, builders and graders meet only here.

Types are Arrow's names; `arrow_schema` turns a kind into a `pyarrow.Schema`. Raise `SCHEMA_VERSION` when
a column changes its meaning: readers refuse what is newer than they know.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION = 1
MEASURED_COLUMNS = ("seconds", "base_kl")
"""Columns that depend on the machine and its memory, not on what was made; content digests leave them out."""
EXAMPLES_FILE, HELD_OUT_FILE = "examples.parquet", "held_out.parquet"
"""Of a training set; held-out rows are examples, too, made the same way from queries that the set leaves over."""

FILES_OF_STAGE: dict[str, tuple[str, ...]] = {
    "queries": ("queries.parquet",),
    "responses": ("responses.parquet",),
    "verdicts": ("verdicts.parquet",),
    "audits": ("disagreements.jsonl",),
    "datasets": (EXAMPLES_FILE,),
    "base_models": ("config.json", "*.safetensors"),
    "checkpoints": ("config.json", "*.safetensors"),
    "benchmarks": ("items.parquet",),
    "completions": ("completions.parquet",),
    "scores": ("graded.parquet", "scores.parquet"),
    "figures": ("receipt.json", "*.svg", "*.png"),
    "report": ("receipt.json", "*.html"),
}
"""The files that every output of a stage must have."""


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    about: str
    nullable: bool = False
    is_added: bool = False
    """Files of earlier versions lack it; it counts as null there."""


def _c(name: str, type_: str, about: str) -> Column:
    return Column(name, type_.rstrip("?"), about, nullable=type_.endswith("?"))


def _added(name: str, type_: str, about: str) -> Column:
    return replace(_c(name, type_, about), is_added=True)


KINDS: dict[str, tuple[Column, ...]] = {
    "queries": (
        _c("query_id", "string", "hash of kind, question and gold: the same query has the same id everywhere"),
        _c("kind", "string", "math or countdown: how an answer is judged"),
        _c("question", "string", "the question alone"),
        _c("prompt", "string", "user turn: question and instruction"),
        _c("gold", "string", "reference answer; JSON {numbers, target} for countdown"),
        _c("solution", "string?", "a solution written by people, where the source has one"),
        _c("source_row", "int64", "row in the source, before any filter"),
        _c("fields", "string", "other columns of the source, as JSON"),
    ),
    "responses": (
        _c("response_id", "string", "query_id and sample: `<query_id>-<sample>`"),
        _c("query_id", "string", ""),
        _c("sample", "int64", "0 to n-1"),
        _c("seed", "int64", "seed of this sample"),
        _c("text", "string", "the response as generated, <think> part included"),
        _c("prompt_tokens", "int64?", "under the teacher's tokenizer"),
        _c("response_tokens", "int64?", "under the teacher's tokenizer"),
        _c("finish_reason", "string?", "stop, length where the limit cut it off, or content_filter"),
        _c("mean_logprob", "float64?", "mean token log-probability, where the engine gives it"),
        _c("engine", "string", "fingerprint of the engine that wrote it"),
    ),
    "verdicts": (
        _c("response_id", "string", ""),
        _c("query_id", "string", ""),
        _c("verdict", "string", "correct, wrong, unparseable or undecided"),
        _c("extracted", "string?", "the answer that was judged"),
        _c("reason", "string", "why, one of a fixed list"),
        _c("seconds", "float64", "time that judging took"),
    ),
    "examples": (
        _c("row", "int64", "position in the set"),
        _c("query_id", "string", ""),
        _c("response_id", "string?", "null where the response is the source's own solution"),
        _c("verdict", "string?", "of the response, where it was judged"),
        _c("data_source", "string", "query source"),
        _c("question", "string", ""),
        _c("answer", "string", "gold"),
        _c("message", "list<struct<role: string, content: string>>", "the prompt as chat turns"),
        _c("response", "string", "text to learn, end token not included"),
        _c("response_length", "int64", "characters of the response"),
        _c("advantage", "float64", "1.0; the authors' trainer wants the column"),
    ),
    "items": (
        _c("item_id", "string", "hash of the item's content"),
        _c("position", "int64", "order in the benchmark"),
        _c("question", "string", "text of the task, before the prompt is built around it"),
        _c("gold", "string?", "reference answer, where the task has one"),
        _c("category", "string?", "subject or subtask"),
        _c("fields", "string", "everything else a prompt or grader needs, as JSON"),
    ),
    "completions": (
        _c("item_id", "string", ""),
        _c("sample", "int64", "0 to n-1"),
        _c("seed", "int64", ""),
        _c("prompt_sha256", "string", "of the rendered prompt"),
        _c("text", "string", "as generated, special tokens left out"),
        _c("prompt_tokens", "int64", ""),
        _c("response_tokens", "int64", ""),
        _c("finish_reason", "string", "stop, length or content_filter (a server held back the rest, or all)"),
        _c("think_closed", "bool?", "whether </think> came; null where no <think> was opened"),
        _c("ended_by_eos", "bool", ""),
        _c("repetition_loop", "bool", "whether it ended repeating itself"),
    ),
    "graded": (
        _c("item_id", "string", ""),
        _c("sample", "int64", ""),
        _c("grader", "string", "strict or authors"),
        _c("metric", "string", ""),
        _c("state", "string", "scored, undecided or not-run"),
        _c("value", "float64?", "null unless scored"),
        _c("extracted", "string?", "the answer that was graded; null for sensitive benchmarks"),
        _c("reason", "string", "why this state or value, one of a fixed list"),
        _c("weight", "float64", "of the item in the mean over items; 1 but for IFEval's instruction level"),
        _c("category", "string?", ""),
        _c("response_tokens", "int64", ""),
        _c("truncated", "bool", "the token limit ended it"),
    ),
    "scores": (
        _c("grader", "string", "strict or authors"),
        _c("metric", "string", ""),
        _c("category", "string", "`all`, or one category of the benchmark"),
        _c("state", "string", "scored, undecided (no sample could be judged), not-run or no-access"),
        _c("value", "float64?", "mean over items of the mean over samples"),
        _c("low", "float64?", "95 % interval, clustered by item"),
        _c("high", "float64?", ""),
        _c("items", "int64", "items with at least one scored sample"),
        _c("samples", "int64", "graded samples"),
        _c("undecided", "int64", "samples that could not be decided"),
        _c("not_run", "int64", "samples that could not be run"),
        _c("truncated", "int64", "samples that the token limit ended"),
        _c("pass_at_k", "float64?", "share of items with at least one success, k = samples per item"),
        _c("mean_tokens", "float64?", "response length"),
        _c("median_tokens", "float64?", ""),
        _c("p90_tokens", "float64?", ""),
        _c("reason", "string", "why it is not scored; empty where it is"),
    ),
    "curves": (
        _c("step", "int64", "optimizer step, from 1"),
        _c("epoch", "float64", ""),
        _c("loss", "float64", "mean over the batch's response tokens"),
        _c("grad_norm", "float64", "before clipping"),
        _c("lr", "float64", ""),
        _c("tokens", "int64", "trained response tokens of this step"),
        _c("seconds", "float64", ""),
        _c("held_out_loss", "float64?", "on rows never trained on, at kept steps"),
        _added("entropy", "float64?", "of the next token, in nats; mean over the batch's response tokens"),
        _added(
            "base_kl", "float64?", "divergence from the base, in nats a token; as held_out_loss, where the base fits"
        ),
    ),
    "seen": (
        _c("step", "int64", "optimizer step that used the row"),
        _c("position", "int64", "place in that step's batch"),
        _c("row", "int64", "row of the training set"),
        _c("query_id", "string", ""),
        _c("tokens", "int64", "prompt and response, after cutting"),
        _c("cut_tokens", "int64", "tokens lost to the length limit"),
    ),
}


def arrow_schema(kind: str) -> "pyarrow.Schema":
    """The Arrow schema of a kind of record."""
    import pyarrow

    turn = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    types = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "list<struct<role: string, content: string>>": pyarrow.list_(turn),
    }
    return pyarrow.schema([pyarrow.field(c.name, types[c.type], nullable=c.nullable) for c in KINDS[kind]])
