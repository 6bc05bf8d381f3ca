"""Two benchmarks beside the six: the tiny world's test problems, and any user's problem file (docs/data.md)."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Row
from metis_rise.benchmarks.groups import average
from metis_rise.benchmarks.tsv import normal_index
from metis_rise.errors import InputError
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import option_lines
from metis_rise.problems.reader import read_problems
from metis_rise.problems.world import make_problems
from metis_rise.recipe.load import load_recipe
from metis_rise.types import Problem
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.gold import check_gold

RECORD = "problem"
"""The column with the whole problem as JSON, so that a file of predictions can be scored without the data."""


class ProblemsBenchmark(Benchmark):
    """Problems of our own schema, scored by the verifier one by one."""

    headlines = (Headline("Overall", average, by=("family", "level")),)
    strict = True

    @abstractmethod
    def problems(self, path: Path | None, store: ImageStore) -> list[Problem]:
        """The problems, their pictures put into `store`. Raises InputError for a faulty file."""

    def rows(self, path: Path | None, store: ImageStore | None) -> list[Row]:
        """The problems as rows; without a `store` they have no pictures.

        Raises:
            InputError: a faulty file, or two ids that are one index.
        """
        where = path or self.title
        with _store(store) as used:
            problems = self.problems(path, used)
        rows: dict[str, Row] = {}
        ids: dict[str, str] = {}
        for number, problem in enumerate(problems, 1):
            index = normal_index(problem.id)
            if index in rows:
                raise InputError(f"{where}: the ids {ids[index]!r} and {problem.id!r} are one index; change one")
            ids[index] = problem.id
            record = json.dumps(problem.to_json(), ensure_ascii=False)
            columns = {"index": index, "question": problem.question, "answer": problem.answer, RECORD: record}
            images = () if store is None else problem.images
            rows[index] = Row(index, columns, f"{where} problem {number} index {index}", images)
        return list(rows.values())

    def problem(self, row: Row) -> Problem:
        """The problem that the row holds as JSON."""
        try:
            problem = Problem.from_json(cells.mapping(row, RECORD))
        except (KeyError, TypeError, ValueError) as error:
            raise cells.fault(row, RECORD, f"not a problem ({error})", "give the data with --data") from error
        return replace(problem, id=row.index, images=row.images)

    def prompt(self, row: Row) -> str:
        """Question and options, as the `rise` style has them: such problems have no other text."""
        problem = self.problem(row)
        return "\n".join(filter(None, (problem.question, option_lines(problem.choices))))

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """By family and level, which problems without finer groups lack."""
        problem = self.problem(row)
        family, level = (problem.family,) if problem.family else (), (str(problem.level),) if problem.level else ()
        return {"family": family, "level": level}

    def official(self, item: Item, extraction: str) -> bool:
        """Whether the extraction means the gold answer, as the verifier compares."""
        problem = item.problem
        return equivalent(problem.answer, extraction, problem.answer_type, problem.choices)[0]


class World(ProblemsBenchmark):
    """The test problems of the tiny recipe, made and not read."""

    name = "world"
    title = "Tiny world"

    def problems(self, path: Path | None, store: ImageStore) -> list[Problem]:
        """The same problems, to the byte, that a run of the recipe `tiny` is evaluated on."""
        world = load_recipe("tiny").problems.world
        return make_problems("test", world.test_per_level, world.seed, store, levels=world.levels)


class UserProblems(ProblemsBenchmark):
    """A problem file of the user's own."""

    name = "jsonl"
    title = "Problems of a JSONL file"

    def problems(self, path: Path | None, store: ImageStore) -> list[Problem]:
        """The problems of `path`; a row that cannot be used, or judged, is an error."""
        assert path is not None, "sources.find asks for the file"
        return read_problems(path, store, check_gold, opener=open_rows)


@contextmanager
def _store(store: ImageStore | None) -> Iterator[ImageStore]:
    """`store`, or one that is gone afterwards: problems are checked with their pictures."""
    if store is not None:
        yield store
        return
    with TemporaryDirectory() as folder:
        yield ImageStore(Path(folder))
