"""``claims.md``: each claim with its verdict, its numbers, and where to look for the reason."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from codi_baselines.paper.checks import LEVEL, MARGIN, Answer, Finding, Outcomes
from codi_baselines.paper.claims import CLAIMS, ENOUGH, Claim, Verdict, judge
from codi_baselines.paper.outcomes import Measures, Outcome
from codi_baselines.paper.statistics import DRAWS
from codi_baselines.paper.table import cells, markdown, plan_columns, record
from codi_core.files.durable import write_durably

FILE = "claims.md"
FILMED = 3
"""So many failures of a row, the first ones, are in the command that films them."""
LISTED = 30
"""So many failures of a row are named."""

RULES = f"""\
All methods are compared on the same starts. More or less often is McNemar's exact test with p below
{LEVEL:g}; its interval is Newcombe's. Closer is a difference of medians and faster one of means, a
failure counting as the time limit, by a bootstrap over the starts ({DRAWS:,} draws) whose 95 %
interval leaves zero out. As often, within {100 * MARGIN:.0f} points, is by the end of the interval.
Nothing is corrected for the number of tests. From few starts little can be shown: with less than
{ENOUGH}, the paper's number, verdicts are previews.

A claim *holds* if all its statements are so, *holds in part* if at least half of them are, and else
*does not hold here*. Statements that could not be tested don't count; how many were is said.
"""

C2 = """\
## C2: CoDi is sufficiently robust for hardware deployment

Not a simulation: see what the documentation says on hardware.
"""

FAILURES = """\
## Failures

Each command runs the first waves of a method again, as they were, and films its first failures.
"""


def write_page(
    folder: Path,
    title: str,
    outcomes: Outcomes,
    measures: Measures,
    reasons: Mapping[str, str],
    command: Sequence[str],
) -> Path:
    """Write the page; returns its path.

    Args:
        folder: of the rows' runs, where the page goes.
        title: what was run, in words.
        outcomes: the rows by label.
        measures: which values of the records mean what.
        reasons: why rows could not be run, by label.
        command: what was typed.
    """
    findings = {claim.label: claim.findings(outcomes, measures) for claim in CLAIMS}
    parts = [
        f"# The paper's claims\n\n{title}\n\n```console\n$ {shlex.join(command)}\n```\n",
        markdown(["claim", "verdict"], [[c.label, told(findings[c.label])] for c in CLAIMS]),
        RULES,
    ]
    if reasons:
        rows = "".join(f"- `{label}`: {reason}\n" for label, reason in reasons.items())
        parts.append(f"Rows that could not be run here:\n\n{rows}")
    for claim in CLAIMS:
        parts.append(_section(claim, findings[claim.label], outcomes, measures))
        if claim.label == "C1":
            parts.append(C2)
    failing = [outcome for outcome in outcomes.values() if outcome.failures]
    if failing:
        parts.append(FAILURES)
        parts += [_failures(folder, outcome) for outcome in failing]
    path = folder / FILE
    write_durably(path, "\n".join(parts))
    return path


def told(findings: Sequence[Finding]) -> str:
    """A verdict, and how many of the statements it comes from."""
    tested, verdict = sum(each.answer is not Answer.UNTESTED for each in findings), judge(findings)
    if verdict is Verdict.UNTESTED or tested == len(findings):
        return verdict.value
    return f"{verdict.value}, as far as tested ({tested} of {len(findings)} statements)"


def _section(
    claim: Claim, findings: Sequence[Finding], outcomes: Outcomes, measures: Measures
) -> str:
    lines = [[each.text, each.answer.value, each.numbers] for each in findings]
    text = f"## {claim.label}: {claim.text}\n\n**{told(findings).capitalize()}.**\n\n"
    text += markdown(["statement", "is it so?", "numbers"], lines)
    records = [record(outcomes[row], measures) for row in claim.rows if row in outcomes]
    if not records:
        return text
    made_of = markdown(*cells(records, plan_columns(measures)))
    return f"{text}\nWhat plans were made of, and how near failures came:\n\n{made_of}"


def _failures(folder: Path, outcome: Outcome) -> str:
    failures = outcome.failures
    listed = ", ".join(map(str, failures[:LISTED])) + (", …" if len(failures) > LISTED else "")
    return (
        f"{outcome.name}, {len(failures)} of {len(outcome.records)}: {listed}\n\n```console\n"
        f"$ {film(folder, outcome, failures[:FILMED])}\n```\n"
    )


def film(folder: Path, outcome: Outcome, episodes: Sequence[int]) -> str:
    """The command that runs a row's first waves again, and films some of their episodes.

    Waves run as a whole: alone, an episode would be rounded in another way.
    """
    last = (max(episodes) // outcome.worlds + 1) * outcome.worlds
    last = min(last, max(outcome.records) + 1)
    words = ["codi-run", "--from", str(folder / outcome.label), "--episodes", str(last)]
    words += ["--video-episodes", *map(str, episodes)]
    return shlex.join([*words, "--output", str(folder) + f"-films/{outcome.label}"])
