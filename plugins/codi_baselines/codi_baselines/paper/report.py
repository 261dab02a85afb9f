"""Writes all that is made of the rows: figures, the table, and the claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from codi_baselines.paper import starts, table
from codi_baselines.paper.claims import CLAIMS
from codi_baselines.paper.figures import write_comparisons
from codi_baselines.paper.outcomes import Measures, Outcome
from codi_baselines.paper.page import told, write_page
from codi_baselines.paper.rows import Row
from codi_baselines.results import name_files
from codi_core.commands.errors import print_warning
from codi_core.commands.output import say, show
from codi_core.errors import DatasetError, MissingExtraError
from codi_core.files.durable import writing
from codi_core.files.folders import exclusive

PATIENCE = 60.0
"""How long to wait for another process that writes the same files [s]."""

Data = Mapping[str, tuple[Path, str]]
"""By name, the folder of a data set, and its feature of positions."""


@attrs.frozen
class Report:
    """What is made of a grid's rows.

    Attributes:
        folder: of the grid.
        title: what was run, in words.
        rows: those that are run.
        measures: which values of the records mean what.
        reasons: why other rows can't be run, by label.
        command: what was typed.
    """

    folder: Path
    title: str
    rows: Sequence[Row]
    measures: Measures
    reasons: Mapping[str, str]
    command: Sequence[str]

    def write(self, data: Data) -> None:
        """Write everything for the rows that have episodes, and say what came of it.

        Raises:
            UsageError: the folder can't be written.
        """
        outcomes = self.outcomes()
        if not outcomes:
            return
        # Processes that share the work end together, and write the same files.
        with exclusive(self.folder, PATIENCE), writing(self.folder):
            paths = self._files(outcomes, data)
        self._print(outcomes)
        name_files(paths)

    def _files(self, outcomes: Mapping[str, Outcome], data: Data) -> list[Path]:
        rest = (self.measures, self.reasons, self.command)
        paths = table.write_table(self.folder, list(outcomes.values()), self.measures)
        paths.append(write_page(self.folder, self.title, outcomes, *rest))
        try:
            paths += self._starts(outcomes, data)
            paths += write_comparisons(self.folder, outcomes, self.measures)
        except MissingExtraError as error:
            print_warning(f"not all pictures were drawn: {error}")
        return paths

    def outcomes(self) -> dict[str, Outcome]:
        """Those of the rows that have episodes, by label."""
        from codi_core.experiments import read_run

        begun = [row for row in self.rows if (self.folder / row.label / "config.json").exists()]
        found = {row.label: Outcome.of(row, read_run(self.folder / row.label)) for row in begun}
        return {label: outcome for label, outcome in found.items() if outcome.records}

    def _starts(self, outcomes: Mapping[str, Outcome], data: Data) -> list[Path]:
        """Fig. 2, of demonstrations or, without their folders, of the episodes."""
        groups: dict[str, starts.Points] = {}
        for name, (folder, feature) in data.items():
            try:
                points = starts.starts_of_data(folder, feature)
            except DatasetError as error:
                print_warning(f"'{folder}' is not in Fig. 2: {error}")
                continue
            groups |= {f"{name}, 100 %": points, f"{name}, 20 %": starts.few(points)}
        if not groups:
            every = max(outcomes.values(), key=lambda outcome: len(outcome.records))
            points = starts.starts_of_episodes(every, self.measures.start)
            groups = {"the episodes": points} if len(points) else {}
        return [starts.write_starts(self.folder, groups)] if groups else []

    def _print(self, outcomes: Mapping[str, Outcome]) -> None:
        from rich.markup import escape
        from rich.table import Table

        records = [table.record(outcome, self.measures) for outcome in outcomes.values()]
        headings, lines = table.cells(records, table.columns(self.measures))
        shown = Table(title=self.title)
        for heading in headings:
            shown.add_column(escape(heading))
        for line in lines:
            shown.add_row(*line)
        show(shown, width=170)
        for claim in CLAIMS:
            say(f"{claim.label}: {told(claim.findings(outcomes, self.measures))}. {claim.text}")
