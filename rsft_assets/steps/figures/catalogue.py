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

    @property
    def key(self) -> str:
        """The Dagster asset key."""
        return f"figures/{self.name}"

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Asset keys of its tables."""
        return tuple("results/" + table.replace(".", "/") for table in self.reads)


# Ours are read strictly; of the paper there is only what its own graders said.
_OURS_STRICT = "is_headline AND (source = 'paper' OR grader = 'strict')"

FIGURES = (
    Figure(
        name="dip_and_recovery",
        title="Dip and recovery",
        description="Scores over training steps by benchmark and run, with 95 % intervals and the dips marked "
        "that are more than noise.",
        question="Has it trained long enough?",
        query=f"""
            SELECT t.*, d.shape, d.dip_step = t.step AS is_dip, d.is_dip_beyond_noise
            FROM marts.score_trajectories t
            LEFT JOIN marts.dip_and_recovery d USING (source, run, benchmark, grader, metric, protocol)
            WHERE t.study = $study AND t.{_OURS_STRICT.replace("grader", "t.grader").replace("source", "t.source")}
                AND t.benchmark_version = 1
            ORDER BY t.source, t.model, t.run, t.benchmark, t.step""",
        reads=("marts.score_trajectories", "marts.dip_and_recovery"),
    ),
)
