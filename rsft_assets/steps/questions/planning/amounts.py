"""Outstanding refs -> amounts: rows, tokens, bytes of each stage, and through `costs` what they take."""

import re
from collections.abc import Sequence

from rsft_assets.specs import rates
from rsft_assets.specs.benchmarks import GRADERS, Benchmark
from rsft_assets.specs.fingerprint import canonical
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.judges import ROLES
from rsft_assets.specs.lineage import TABLE_OF, Ref, checkpoint_ref
from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.rates import Rate
from rsft_assets.specs.responses import Pool, Teacher, queries_to_fill
from rsft_assets.steps.base_models.shipped import is_shipped
from rsft_assets.steps.checkpoints.training.disk import checkpoint_bytes, disk_bytes
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.questions.planning.costs import decoding_time, judge_money, light_work, training_time
from rsft_assets.steps.questions.planning.measured import Measured, on_gpu
from rsft_assets.steps.questions.planning.plan import Plan
from rsft_assets.steps.questions.planning.quantities import Line, Quantity
from rsft_assets.steps.questions.planning.trainings import Training, trainings
from rsft_assets.steps.records.manifest import Manifest
from rsft_assets.steps.scores.grading.judges import missing_judges


def estimate(plan: Plan) -> list[Line]:
    """A line for each batch of a plan that has something left to do."""
    costs = CostEstimate(plan.states)
    lines: list[Line] = []
    for batch in plan.batches:
        line = Line(batch.title, batch.assets, batch.partitions[0], batch.partitions[-1])
        # Tables, figures and the report are made again when anything below them is.
        redone = bool(lines) and Ref(batch.assets[0]).stage not in TABLE_OF
        for asset in batch.assets:
            refs = [Ref(asset, partition) for partition in batch.partitions]
            costs.add(line, asset, refs if redone else plan.states.to_make(refs))
        lines += [line] if line.refs else []
    return lines


class CostEstimate:
    """What outstanding refs come to, a stage at a time."""

    def __init__(self, states: States) -> None:
        self.study, self.store, self.states = states.study, states.store, states
        self.measured = Measured(self.study, self.store)
        self._counted: set[tuple[str, str]] = set()
        """(model, benchmark) whose base model's answers are in this plan already."""

    def add(self, line: Line, asset: str, refs: Sequence[Ref]) -> None:
        """Add what `refs`, outstanding partitions of one asset, come to."""
        stage = Ref(asset).stage
        line.refs += refs
        if not refs:
            return
        if stage in ("responses", "verdicts"):
            self._pool_shards(line, asset, stage, refs)
        elif stage == "checkpoints":
            for training in trainings(self.states, refs):
                self._training(line, training)
            self._adopted(line, [ref for ref in refs if ref.step and self.study.runs[ref.run].adopt])
        elif stage == "scores":
            for ref in refs:
                self._score(line, ref)
        elif stage == "base_models":
            self._base_model(line, Ref(asset).name)
        elif stage in rates.PER_ROW:
            self._rows(line, asset, stage)

    def _rows(self, line: Line, asset: str, stage: str) -> None:
        name = Ref(asset).name
        if stage == "queries":
            light_work(line, self.measured, asset, self._queries(name))
        elif stage == "benchmarks":
            light_work(line, self.measured, asset, self._items(self.study.benchmarks[name]))
        elif stage == "audits":
            pool = self.study.pools[name]
            audited = min(rates.AUDITED_QUERIES, int(self._queries(pool.source).value))
            light_work(line, self.measured, asset, Quantity(audited * pool.sampling.n, "reference"))
        elif stage == "datasets":
            rows = Quantity(self.study.datasets[name].rows, "measured")
            light_work(line, self.measured, asset, rows)
            length, _ = self._row_length(name)
            tokens = length.times(rows.value)
            line.add("disk_bytes", tokens.times(rates.BYTES_PER_TOKEN.value, "assumed"), rates.BYTES_PER_TOKEN.source)
            self._filled(line, name)

    def _filled(self, line: Line, name: str) -> None:
        """How many queries fill a set, at the share of correct responses that is measured, or else assumed."""
        dataset = self.study.datasets[name]
        if dataset.recipe != "one-correct" or not dataset.pool:
            return
        pool = self.study.pools[dataset.pool]
        measured = self.measured.acceptance(pool.name)
        if share := measured or pool.acceptance:
            wanted = queries_to_fill(dataset.rows, 1 - (1 - share) ** pool.sampling.n)
            line.say(
                f"{name}: {share:.0%} of responses correct ({'measured' if measured else 'assumed'}), so {wanted:,} "
                f"queries fill it with a quarter to spare; {pool.source} has {self._queries(pool.source).value:,.0f}"
            )

    def _queries(self, source: str) -> Quantity:
        """Rows of a query source: as fetched, else as declared."""
        output = self.states.current(Ref(f"queries/{source}"))
        if output is not None and output.stats.get("rows"):
            return Quantity(output.stats["rows"], "measured")
        spec = self.study.sources[source]
        count = spec.origin.count if isinstance(spec.origin, Generator) else rates.SOURCE_ROWS.get(source, 0)
        return Quantity(spec.limit or count or 0, "reference")

    def _items(self, benchmark: Benchmark) -> Quantity:
        """Items of a benchmark: as locked, else as declared."""
        output = self.states.current(Ref(f"benchmarks/{benchmark.name}"))
        if output is not None and "items" in output.stats:
            return Quantity(output.stats["items"], "measured")
        return Quantity(benchmark.items or rates.BENCHMARK_ITEMS.get(benchmark.name, 0), "reference")

    def _pool_shards(self, line: Line, asset: str, stage: str, refs: Sequence[Ref]) -> None:
        pool = self.study.pools[Ref(asset).name]
        rows = self._queries(pool.source).times(pool.sampling.n * len(refs) / pool.shards)
        if stage == "verdicts":
            light_work(line, self.measured, asset, rows, workers=load_placement().workers)
        elif pool.adopted is not None or not isinstance(pool.teacher.origin, Hub):
            light_work(line, self.measured, asset, rows)
        else:
            self._teach(line, pool, rows)

    def _teach(self, line: Line, pool: Pool, rows: Quantity) -> None:
        manifests = self.measured.manifests(f"responses/{pool.name}")
        length, source = self._length(
            pool.name,
            self.measured.response_length(manifests, "rows"),
            pool.sampling.max_tokens,
            pool.sampling.thinking is not False,
        )
        tokens = rows.times(length.value, length.basis)
        line.add("generated_tokens", tokens, source)
        line.add("generated_tokens_at_most", rows.times(pool.sampling.max_tokens, "reference"))
        self._stored(line, tokens, manifests)
        parameters = teacher_parameters(pool.teacher)
        if not parameters:
            line.say(f"teacher {pool.teacher.name}: its size is not known, so no GPU-hours")
            return
        placement = load_placement(pool.teacher.name)
        rate = self.measured.decoding(manifests, on_gpu(True, placement))
        decoding_time(line, tokens, parameters, True, placement, rate)

    def _length(self, what: str, measured: float | None, limit: int, thinking: bool) -> tuple[Quantity, str]:
        """Tokens of a response and where that comes from."""
        if measured is not None:
            return Quantity(measured, "measured"), f"{what}: {measured:,.0f} tokens a response, measured"
        typical: Rate = rates.TYPICAL_THINKING if thinking else rates.TYPICAL_ANSWER
        return Quantity(min(typical.value, limit), typical.basis), typical.source

    def _stored(self, line: Line, tokens: Quantity, manifests: Sequence[Manifest]) -> None:
        if measured := self.measured.bytes_per_token(manifests):
            line.add("disk_bytes", tokens.times(measured), f"{measured:.2g} bytes a stored token, measured")
            return
        line.add("disk_bytes", tokens.times(rates.BYTES_PER_TOKEN.value, "assumed"), rates.BYTES_PER_TOKEN.source)

    def _row_length(self, dataset: str) -> tuple[Quantity, str]:
        """Tokens of a training row, prompt included."""
        measured = self.measured.row_length(dataset)
        if measured is not None:
            return Quantity(measured, "measured"), f"{measured:,.0f} tokens a row of {dataset}, measured"
        output = self.states.current(Ref(f"datasets/{dataset}"))
        if output is not None and (mean := (output.stats.get("response_characters") or {}).get("mean")):
            rate = rates.CHARACTERS_PER_TOKEN
            return Quantity(mean / rate.value + rates.PROMPT_TOKENS, rate.basis), rate.source
        spec = self.study.datasets[dataset]
        typical = rates.TYPICAL_THINKING if spec.thinking else rates.TYPICAL_ANSWER
        response = min(typical.value, self._limit(dataset))
        return Quantity(response + rates.PROMPT_TOKENS, typical.basis), typical.source

    def _limit(self, dataset: str) -> float:
        """Tokens of the longest response that its pool holds; no limit where it has none."""
        spec = self.study.datasets[dataset]
        if spec.pool:
            return self.study.pools[spec.pool].sampling.max_tokens
        return self._limit(spec.like) if spec.like else float("inf")

    def _training(self, line: Line, training: Training) -> None:
        run = training.run
        model = self.study.models[run.model]
        length, source = self._row_length(run.dataset)
        tokens = Quantity(training.rows * min(length.value, run.max_length), length.basis)
        line.trained[run.name] = (training.start, training.target)
        line.add("trained_tokens", tokens, source)
        training_time(line, tokens, model, self.measured.training(model))
        disk = disk_bytes(model.parameters, run.schedule.precision, training.kept)
        if training.target == self.study.steps_of(run)[-1]:
            # The state to resume from goes when the run ends.
            disk = training.kept * checkpoint_bytes(model.parameters, run.schedule.precision)
        line.add("disk_bytes", Quantity(disk, "reference"), "bytes of weights by parameters and precision")

    def _adopted(self, line: Line, refs: Sequence[Ref]) -> None:
        """Checkpoints that others published: bf16 weights to fetch."""
        if refs:
            size = sum(checkpoint_bytes(self.study.models[ref.name].parameters, "bf16") for ref in refs)
            line.add("disk_bytes", Quantity(size, "reference"), "published checkpoints: two bytes a parameter, fetched")

    def _base_model(self, line: Line, name: str) -> None:
        model = self.study.models[name]
        width = 4 if isinstance(model.origin, Pretraining) and model.origin.weights == "fp32" else 2
        line.add("disk_bytes", Quantity(model.parameters * width, "reference"), "bytes of weights by parameters")
        if isinstance(model.origin, Pretraining) and (self.states.force or not self._is_shipped(name)):
            tokens = Quantity(model.origin.steps * model.origin.batch_tokens, "reference")
            line.add("trained_tokens", tokens)
            training_time(line, tokens, model, self.measured.training(model))

    def _is_shipped(self, name: str) -> bool:
        return is_shipped(self.store.identity(self.study, Ref(f"base_models/{name}")))

    def _score(self, line: Line, ref: Ref) -> None:
        benchmark = self.study.benchmarks[ref.benchmark]
        samples = self._items(benchmark).times(benchmark.sampling.n)
        if not self._answered(ref, benchmark):
            self._answer(line, ref, benchmark, samples)
        grades = samples.times(len(GRADERS) * len(benchmark.metrics))
        light_work(line, self.measured, ref.asset, grades)
        for role in roles_of(benchmark.task):
            judge_money(line, self.store.home, benchmark.name, role, samples)

    def _answer(self, line: Line, ref: Ref, benchmark: Benchmark, samples: Quantity) -> None:
        model = self.study.models[ref.name]
        made = self.measured.completions(model.name)
        same = [m for m in made if m.asset == f"completions/{benchmark.name}"]
        thinking = ref.step > 0 and self.study.datasets[self.study.runs[ref.run].dataset].thinking
        limit = benchmark.sampling.max_tokens
        length, source = self._length(
            benchmark.name, self.measured.response_length(same, "completions"), limit, thinking
        )
        tokens = samples.times(length.value, length.basis)
        line.add("generated_tokens", tokens, source)
        line.add("generated_tokens_at_most", samples.times(limit, "reference"))
        self._stored(line, tokens, made)
        rate = self.measured.answering(model)
        decoding_time(line, tokens, model.parameters, model.runs_on_gpu, load_placement(model.name), rate)

    def _answered(self, ref: Ref, benchmark: Benchmark) -> bool:
        """Whether the answers are in store already, or counted: step 0 is one model in every run."""
        if ref.step == 0:
            if (ref.name, benchmark.name) in self._counted:
                return True
            self._counted.add((ref.name, benchmark.name))
        upstream = (checkpoint_ref(self.study.runs[ref.run], ref.step), Ref(f"benchmarks/{benchmark.name}"))
        outputs = [self.states.current(one) for one in upstream if self.states.kept(one)]
        digests = {output.digest for output in outputs if output is not None}
        return len(outputs) == len(upstream) and any(
            {i.digest for i in m.inputs} == digests and m.spec.get("sampling") == canonical(benchmark.sampling)
            for m in self.measured.completions(ref.name)
            if m.asset == f"completions/{benchmark.name}"
        )


def teacher_parameters(teacher: Teacher) -> int:
    """As the table says, else from the repository's name; 0 where neither tells."""
    if teacher.name in rates.TEACHER_PARAMETERS:
        return rates.TEACHER_PARAMETERS[teacher.name]
    repo = teacher.origin.repo if isinstance(teacher.origin, Hub) else ""
    size = re.search(r"(\d+(?:\.\d+)?)b\b", repo, flags=re.IGNORECASE)
    return int(float(size[1]) * 1e9) if size else 0


def roles_of(task: str) -> list[str]:
    """Judges that a task needs, the optional ones only where the user named them."""
    return [name for name, role in ROLES.get(task, {}).items() if role.required or not missing_judges([name])]
