"""The claim: close to the exact sampler with a tenth of the printed estimator's evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from codi_baselines.closed_form.estimators import Role
from codi_baselines.closed_form.table import Row

WITHIN, PRINTED_WITHIN, SHARE = 0.10, 0.50, 0.10
Z_95 = 1.96


@attrs.frozen
class Verdict:
    """Whether the claim holds in one dimension, against one reference.

    Attributes:
        dimension: D.
        reference: what is compared with, in words.
        target: E[J]/λ of the reference.
        printed: the first row of the printed estimator that may be within 50 %, or its last row.
        printed_reaches: whether it may be.
        best: the row with the fewest evaluations that is within 10 %, or None.
        best_guidance: the same among guidance estimators, without whole-sampler methods.
        holds: whether ``best`` takes at most a tenth of the evaluations of ``printed``.
    """

    dimension: int
    reference: str
    target: float
    printed: Row | None
    printed_reaches: bool
    best: Row | None
    best_guidance: Row | None
    holds: bool

    def sentence(self) -> str:
        """The verdict in words, with figures."""
        head = f"D {self.dimension}, against {self.reference} (E[J]/λ {self.target:.2f}): "
        if self.printed is None:
            return head + "the printed estimator was not measured."
        return head + f"{self._printed_part()} {self._best_part()} {self._end()}"

    def _printed_part(self) -> str:
        assert self.printed is not None
        figures = f"M {self.printed.samples}, {_figures(self.printed)}"
        if self.printed_reaches:
            return f"the printed estimator comes within 50 % with {figures}."
        return f"the printed estimator never comes within 50 %; its last is {figures}."

    def _best_part(self) -> str:
        if self.best is None:
            return "No estimator is within 10 %."
        found = f"{_name(self.best)} is within 10 %, {_figures(self.best)}."
        if self.best_guidance is None:
            return f"{found} No guidance is."
        if self.best_guidance is not self.best:
            found += f" Among guidances {_name(self.best_guidance)} is, "
            found += f"{_figures(self.best_guidance)}."
        return found

    def _end(self) -> str:
        if self.best is None or self.printed is None:
            return "The claim fails."
        ratio = self.printed.evaluations / self.best.evaluations
        share = f"1/{ratio:.0f} of the evaluations" if ratio >= 1 else "more evaluations"
        return f"That is {share}: the claim {'holds' if self.holds else 'fails'}."


def verdicts(
    rows: Sequence[Row],
    roles: Mapping[str, Role],
    references: Mapping[int, Mapping[str, float]],
) -> list[Verdict]:
    """Decide the claim in every dimension, against each reference.

    The printed estimator gets the benefit of doubt: it counts as within 50 % where the 95 %
    interval of its E[J]/λ reaches below 1.5 times the reference, and too low a value counts, too.
    Another estimator must be within 10 % on both sides, and its 95 % interval must be no wider
    than that.

    Args:
        rows: everything that was measured.
        roles: each estimator's role, by its label.
        references: by dimension, the values of E[J]/λ to compare with, by their description.
    """
    found = []
    for dimension, targets in references.items():
        here = [row for row in rows if row.dimension == dimension]
        found += [_decide(here, roles, dimension, name, value) for name, value in targets.items()]
    return found


def conclusions(found: Sequence[Verdict]) -> list[str]:
    """In how many dimensions the claim holds, one sentence a reference."""
    sentences = []
    for reference in dict.fromkeys(verdict.reference for verdict in found):
        own = [verdict for verdict in found if verdict.reference == reference]
        held = sum(verdict.holds for verdict in own)
        sentences.append(f"Against {reference} the claim holds in {held} of {len(own)} dimensions.")
    return sentences


def _decide(
    rows: Sequence[Row], roles: Mapping[str, Role], dimension: int, reference: str, target: float
) -> Verdict:
    printed = [row for row in rows if roles[row.estimator] is Role.PRINTED]
    printed.sort(key=lambda row: row.evaluations)
    reaching = [row for row in printed if _may_reach(row, target)]
    chosen = reaching[0] if reaching else printed[-1] if printed else None
    near = [row for row in rows if _is_near(row, target)]
    best = _cheapest(near, roles, (Role.GUIDANCE, Role.PEER))
    return Verdict(
        dimension=dimension,
        reference=reference,
        target=target,
        printed=chosen,
        printed_reaches=bool(reaching),
        best=best,
        best_guidance=_cheapest(near, roles, (Role.GUIDANCE,)),
        holds=chosen is not None
        and best is not None
        and best.evaluations <= SHARE * chosen.evaluations,
    )


def _may_reach(row: Row, target: float) -> bool:
    return row.cost - Z_95 * row.cost_error <= (1 + PRINTED_WITHIN) * target


def _is_near(row: Row, target: float) -> bool:
    resolved = Z_95 * row.cost_error <= WITHIN * target
    return resolved and abs(row.cost - target) <= WITHIN * target


def _cheapest(
    rows: Sequence[Row], roles: Mapping[str, Role], wanted: tuple[Role, ...]
) -> Row | None:
    fitting = [row for row in rows if roles[row.estimator] in wanted]
    # Among equally cheap ones, the one whose samples are nearest to π's.
    return min(fitting, key=lambda row: (row.evaluations, row.energy_distance), default=None)


def _name(row: Row) -> str:
    return f"{row.estimator} with M {row.samples}"


def _figures(row: Row) -> str:
    return (
        f"E[J]/λ {row.cost:.2f} ± {row.cost_error:.2f} at {row.evaluations:,.0f} evaluations a "
        f"plan (modes {row.mode_distance:.2f} and final positions {row.energy_distance:.3f} from π)"
    )
