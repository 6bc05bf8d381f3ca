"""A dry run of the expert stage, as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from metis_rise.stages.experts.plan import ASSUMED_ACCEPTANCE, ASSUMED_LENGTH, Line, Plan

_NONE = "-"
_MONEY_DIGITS = 4


def print_plan(plan: Plan, console: Console) -> None:
    """Print what each expert would be asked and what it would cost, expected / at most, and the budget."""
    what = "absent problems" if plan.diagnosed else "training problems (diagnosis is not done: all of them count)"
    console.print(f"expert, dry run: {plan.problems} {what}; expected / at most", markup=False, highlight=False)
    table = Table()
    table.add_column("expert", no_wrap=True)
    for name in ("solved without a call", "calls", "prompt tokens", "answer tokens", "cost"):
        table.add_column(name, justify="right")
    for line in plan.lines:
        table.add_row(line.entry.name, str(line.kept), *_cells(line))
    console.print(table)
    for line in plan.lines:
        if not line.entry.free:
            console.print(_basis(line), markup=False, highlight=False)
    expected = sum(line.cost or 0.0 for line in plan.lines)
    most = sum(line.cost_most or 0.0 for line in plan.lines)
    spent = plan.held.spent
    console.print(
        f"in all: {sum(line.calls for line in plan.lines):.0f} calls expected, at most "
        f"{sum(line.calls_most for line in plan.lines)}; cost {_money(expected)} expected, at most {_money(most)}; "
        f"spent before: {spent.calls} calls, {spent.tokens} tokens, {_money(spent.money)}; no call was made",
        markup=False,
        highlight=False,
    )
    caps = {name: getattr(plan.config.budget, name) for name in ("calls", "tokens", "money")}
    said = ", ".join(f"{name} {cap:g}" for name, cap in caps.items() if cap is not None)
    console.print(f"budget: {said or 'no cap (expert.budget)'}", markup=False, highlight=False)


def _cells(line: Line) -> tuple[str, str, str, str]:
    if line.entry.free:
        return _NONE, _NONE, _NONE, _NONE
    money = "no prices" if line.cost is None else f"{_money(line.cost)} / {_money(line.cost_most or 0.0)}"
    return (
        f"{line.calls:.0f} / {line.calls_most}",
        f"{line.prompt:.0f} / {line.prompt_most}",
        f"{line.completion:.0f} / {line.completion_most}",
        money,
    )


def _basis(line: Line) -> str:
    if line.measured:
        return (
            f"{line.entry.name}: expected from {line.measured} answered calls, of which {line.acceptance:.0%} were "
            f"accepted, with {line.answer_tokens:.0f} tokens each"
        )
    return (
        f"{line.entry.name}: no answer is known yet; expected as if {ASSUMED_ACCEPTANCE:.0%} of its replies were "
        f"accepted and each took {ASSUMED_LENGTH:.0%} of max_tokens"
    )


def _money(amount: float) -> str:
    return f"{amount:.{_MONEY_DIGITS}f}".rstrip("0").rstrip(".")
