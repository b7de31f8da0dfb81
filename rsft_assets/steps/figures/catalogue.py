"""Which figures there are: data that Dagster, the drawing step and the report share. Imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure, drawn once for each study that has rows for it."""

    name: str
    title: str
    description: str
    question: str
    """What a reader learns from it, as the question it answers."""
    query: str
    """Rows that are drawn, and nothing else; `$study` is the study."""
    reads: tuple[str, ...]
    """Results tables of the query, `schema.table`."""
    by_model: bool = False
    """Whether a picture of each model, `<study>.<model>`, stands beside the figure."""

    @property
    def key(self) -> str:
        """The Dagster asset key."""
        return f"figures/{self.name}"

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Asset keys of its tables."""
        return tuple("results/" + table.replace(".", "/") for table in self.reads)


def _usual_schedule(table: str) -> str:
    """The schedule with the most scores."""
    return (
        f"schedule = (SELECT schedule FROM {table} WHERE study = $study AND is_default "
        "GROUP BY schedule ORDER BY count(*) DESC, schedule LIMIT 1)"
    )


def _scores_with_dips(condition: str) -> str:
    """Scores by step, with a mark at the step from which an arm recovers."""
    return f"""
            SELECT t.*, d.arm_valley_step = t.step AND d.is_arm_valley_confirmed AS is_valley
            FROM marts.score_trajectories t
            LEFT JOIN marts.dip_and_recovery d USING (source, run, benchmark, grader, metric, protocol)
            WHERE {condition} AND t.is_default
                AND t.benchmark_version = 1
            """


FIGURES = (
    Figure(
        name="overview",
        title="The study beside the paper",
        description="Scores over training steps: the paper's own numbers above, this study's below, for one benchmark "
        "of each kind and under the schedule with the most scores; dips and recoveries marked by our test.",
        question="Does it dip and recover, and what does it cost elsewhere?",
        query=_scores_with_dips(
            "((t.study = $study AND t.source = 'ours') OR (t.study = 'paper' AND t.source = 'paper')) "
            "AND (t.source = 'paper' OR t.schedule = (SELECT schedule FROM marts.score_trajectories "
            "WHERE study = $study AND source = 'ours' AND is_default "
            "GROUP BY schedule ORDER BY count(*) DESC, schedule LIMIT 1))"
        )
        + "ORDER BY t.source, t.model, t.run, t.benchmark, t.step",
        reads=("marts.score_trajectories", "marts.dip_and_recovery"),
    ),
    Figure(
        name="dip_and_recovery",
        title="Dip and recovery",
        description="Scores over training steps by benchmark and training set, with 95 % intervals, and the step "
        "marked to which an arm falls and from which it rises again beyond noise: the models with the most arms, each "
        "under its most common schedule. A picture of each model shows every schedule.",
        question="Has it trained long enough?",
        query=_scores_with_dips("t.study = $study") + "ORDER BY t.source, t.model, t.run, t.benchmark, t.step",
        reads=("marts.score_trajectories", "marts.dip_and_recovery"),
        by_model=True,
    ),
    Figure(
        name="response_length",
        title="Response length",
        description="Mean answer length on reasoning benchmarks over training steps, split into what real answers, "
        "missing end tokens, loops and cut answers contribute.",
        question="Do the answers grow, and is the growth real?",
        query="""
            SELECT * FROM marts.response_length
            WHERE study = $study
            ORDER BY model, run, benchmark, step""",
        reads=("marts.response_length",),
    ),
    Figure(
        name="short_training",
        title="Short training",
        description="What a training that is shorter than the study's usual one adds to the untrained model, beside "
        "the usual one (the paper's Figure 2).",
        question="Does a short training show what a long one does?",
        query="""
            WITH short AS (
                SELECT source, run, usual_run FROM marts.schedule_comparison
                WHERE study = $study AND is_default AND total_steps < usual_steps
            )
            SELECT t.*, c.is_arm_gain_confirmed FROM marts.score_trajectories t
            JOIN marts.data_comparison c USING (source, run, step, benchmark, grader, metric, protocol)
            WHERE is_last AND t.is_default AND benchmark_version = 1
                AND (source, run) IN (SELECT (source, run) FROM short UNION SELECT (source, usual_run) FROM short)
            ORDER BY source, t.model, t.dataset, step, run, t.position""",
        reads=("marts.schedule_comparison", "marts.score_trajectories", "marts.data_comparison"),
    ),
    Figure(
        name="schedule_comparison",
        title="Repetition against one pass",
        description="Runs of one model on the same data at equal steps, at their ends (the paper's Table 1).",
        question="Does it pay to repeat data?",
        query="""
            SELECT * FROM marts.schedule_comparison
            WHERE study = $study AND is_default
            ORDER BY source, model, total_steps, is_reference DESC, rows_read DESC, run, position""",
        reads=("marts.schedule_comparison",),
    ),
    Figure(
        name="data_comparison",
        title="Training data",
        description="What each training set adds to the untrained model, benchmark by benchmark (the paper's Table 2).",
        question="Which data?",
        query=f"""
            SELECT c.*, m.parameters FROM marts.data_comparison c
            JOIN (SELECT model, parameters FROM declared.models) m USING (model)
            WHERE study = $study AND is_default AND step > 0
                AND {_usual_schedule("marts.data_comparison")}
            ORDER BY source, parameters, model, dataset, seed, position""",
        reads=("marts.data_comparison",),
    ),
    Figure(
        name="capability_curves",
        title="Model size",
        description="Gain over the untrained model against its size (the paper's Figure 5).",
        question="What does the model's size change?",
        query=f"""
            SELECT * FROM marts.capability_curves
            WHERE study = $study AND is_default
                AND {_usual_schedule("marts.capability_curves")}
            ORDER BY source, dataset, position, family, parameters, model, run""",
        reads=("marts.capability_curves",),
    ),
    Figure(
        name="base_comparison",
        title="What the base had read",
        description="Scores over training steps of bases of one size that differ in their pretraining texts, trained "
        "on the same sets, from what is trained to what is far from it.",
        question="What must the base have read for training to carry over?",
        query=f"""
            WITH own AS (
                SELECT t.*, m.model_description, m.mixture, m.parameters, m.thinking_read, d.thinking
                FROM marts.score_trajectories t
                JOIN (
                    SELECT model, mixture, parameters, thinking_read, description AS model_description
                    FROM declared.models
                ) m USING (model)
                JOIN (SELECT dataset, thinking FROM declared.datasets) d USING (dataset)
                WHERE t.study = $study AND t.source = 'ours' AND t.is_default AND t.benchmark_version = 1
                    AND m.mixture IS NOT NULL AND {_usual_schedule("marts.score_trajectories")}
            ),
            shared AS (
                SELECT parameters, dataset FROM own GROUP BY ALL HAVING count(DISTINCT mixture) > 1
            )
            SELECT own.* FROM own SEMI JOIN shared USING (parameters, dataset)
            ORDER BY model, run, benchmark, step""",
        reads=("marts.score_trajectories",),
    ),
    Figure(
        name="optimization_regimes",
        title="Under-fitted, optimal, over-fitted",
        description="Whether each run has trained too little, enough or too much, by its level against the base and "
        "its best step (the paper's Figure 4).",
        question="Has it trained too long?",
        query="""
            SELECT * FROM marts.optimization_regimes
            WHERE study = $study AND is_headline AND (source = 'paper' OR grader IS NULL OR grader = 'strict')
            ORDER BY source, model, run, position""",
        reads=("marts.optimization_regimes",),
    ),
    Figure(
        name="safety_tradeoff",
        title="Reasoning gained, safety lost",
        description="Gain in reasoning beside the change for the worse on the safety benchmark (forbidden requests "
        "answered, where they are told from allowed ones), with thinking and without in the training data (the paper's "
        "Figure 6).",
        question="What did it cost in safety?",
        query="""
            SELECT * FROM marts.safety_tradeoff
            WHERE study = $study AND state = 'available' AND is_default
            ORDER BY source, model, run""",
        reads=("marts.safety_tradeoff",),
    ),
    Figure(
        name="pass_at_k",
        title="One sample against several",
        description="Whether at least one of k samples is correct, and the answer that most of them give, for the "
        "untrained model and for each run at its end.",
        question="Does training add answers, or make those likelier that the model already finds?",
        query=f"""
            SELECT * FROM marts.pass_at_k
            WHERE study = $study AND is_default AND benchmark_version = 1 AND NOT lower_is_better
                AND (step = 0 OR is_last) AND {_usual_schedule("marts.pass_at_k")}
            ORDER BY model, run, step, benchmark, rule DESC, k""",
        reads=("marts.pass_at_k",),
    ),
    Figure(
        name="training_curves",
        title="Training curves",
        description="Loss and entropy over training steps of every run, with the loss and the divergence from the base "
        "on rows that were held out.",
        question="Did training itself go well?",
        query="""
            SELECT * EXCLUDE (seconds, tokens_per_second) FROM marts.training_curves
            WHERE study = $study
            ORDER BY model, run, step""",
        reads=("marts.training_curves",),
    ),
    Figure(
        name="data_yield",
        title="Data yield",
        description="How many queries and responses each training set keeps, stage by stage.",
        question="Can the training data be trusted?",
        query="""
            SELECT * FROM marts.data_yield
            WHERE study = $study AND state = 'counted'
            ORDER BY dataset, position""",
        reads=("marts.data_yield",),
    ),
    Figure(
        name="reproduction_gap",
        title="Ours beside the paper's",
        description="Our score minus the published one, cell by cell, each gap classed.",
        question="Can this number be trusted?",
        query="""
            SELECT * FROM marts.reproduction_gap
            WHERE study = $study AND gap IS NOT NULL
            ORDER BY model, run, position, step""",
        reads=("marts.reproduction_gap",),
    ),
)


def label_of(file: str) -> str:
    """What a picture or page shows: `nano.png` the nano study, `nano.nano-1m.png` a model of it."""
    study, _, model = file.rpartition(".")[0].partition(".")
    return f"{study} study, {model}" if model else f"{study} study"


def figure_keys() -> tuple[str, ...]:
    return tuple(figure.key for figure in FIGURES)
