"""What was measured, decided and served: the accuracy matrix, the versions and the changes of the champion."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from contracts.status import Matrix, VersionRecord
from contracts.versions import CHALLENGER, CHAMPION, PREVIOUS, Lineage, ProbeReport
from trainer import metrics
from trainer.database import Database, json_array
from trainer.errors import UnknownVersion

SERVED = "version IN (SELECT version FROM serving) AND version NOT IN (SELECT version FROM withdrawn)"


class StoredVersion(NamedTuple):
    """One row of the version table."""

    version: int
    step: int
    lineage: Lineage
    probes: ProbeReport
    matrix: Matrix


class Aliases(NamedTuple):
    """Which version has which alias, and how often the champion has changed so far."""

    generation: int
    champion: int
    previous: int | None
    challenger: int | None


class History:
    """Reads and writes measurements and versions; writes belong inside `Database.transaction`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_version(self, version: StoredVersion) -> None:
        """Stores a version that has been measured and decided on."""
        documents = (version.lineage, version.probes, version.matrix)
        values = (version.version, version.step, *(msgspec.json.encode(document) for document in documents))
        query = "INSERT INTO versions (version, step, lineage, probes, matrix) VALUES (?, ?, ?, ?, ?)"
        self._database.execute(query, values)

    def version(self, number: int) -> StoredVersion:
        """One version.

        Raises:
            UnknownVersion: no version has that number.
        """
        found = self._versions("WHERE version=?", (number,))
        if not found:
            raise UnknownVersion("unknown_version", "there is no version of that number")
        return found[0]

    def steps(self, versions: Sequence[int]) -> list[int]:
        """The steps at which the given versions stand."""
        where = "version IN (SELECT value FROM json_each(?))"
        encoded = json_array(versions)
        return [row[0] for row in self._database.rows(f"SELECT step FROM versions WHERE {where}", (encoded,))]

    def next_version(self) -> int:
        """The number of the next version, counted from 1."""
        return int(self._database.value("SELECT coalesce(max(version), 0) FROM versions")) + 1

    def serve(self, version: int, at: float) -> int:
        """Makes a version the champion and returns the new generation."""
        self._database.execute("INSERT INTO serving (version, promoted_at) VALUES (?, ?)", (version, at))
        return self.aliases().generation

    def promoted_at(self) -> float:
        """Unix time of the last change of the champion; 0 before the first."""
        return float(self._database.value("SELECT coalesce(max(promoted_at), 0) FROM serving"))

    def aliases(self) -> Aliases:
        """The present aliases: the previous version is what the champion was learned from, the challenger is the newest
        version when the gate refused it.
        """
        rows = self._database.rows("SELECT generation, version FROM serving ORDER BY generation DESC LIMIT 1")
        champion = rows[0][1] if rows else 0
        newest = self.next_version() - 1
        refused = newest > champion and self.version(newest).probes.decision.verdict != "promote"
        previous = self.version(champion).lineage.parent if rows else None
        challenger = newest if refused and not self.is_withdrawn(newest) else None
        previous = None if previous is None or self.is_withdrawn(previous) else previous
        return Aliases(rows[0][0] if rows else 0, champion, previous, challenger)

    def records(self, newest: int) -> list[VersionRecord]:
        """The latest versions, and every one with an alias however old it is, as the service shows them."""
        aliases = self.aliases()
        names = {aliases.previous: PREVIOUS, aliases.challenger: CHALLENGER, aliases.champion: CHAMPION}
        stored = self._versions(
            "WHERE version > ? OR version IN (?, ?) ORDER BY version",
            (self.next_version() - 1 - newest, aliases.champion, aliases.previous or 0),
        )
        gone = self.withdrawn([one.version for one in stored])
        return [
            VersionRecord(
                version=one.version,
                aliases=[names[one.version]] if one.version in names else [],
                lineage=one.lineage,
                probes=one.probes,
                withdrawn=gone.get(one.version),
            )
            for one in stored
        ]

    def standing(self, steps: Collection[int]) -> list[int]:
        """The versions at these steps that are not withdrawn, in order."""
        where = "step IN (SELECT value FROM json_each(?)) AND version NOT IN (SELECT version FROM withdrawn)"
        query = f"SELECT version FROM versions WHERE {where} ORDER BY version"
        return [row[0] for row in self._database.rows(query, (json_array(steps),))]

    def withdraw(self, versions: Collection[int], erasure: str) -> None:
        """Withdraws versions for an erasure, unless an earlier one has done so; the registry need not hear of them."""
        self._database.change("INSERT OR IGNORE INTO withdrawn VALUES (?, ?)", ((one, erasure) for one in versions))
        where = "version IN (SELECT value FROM json_each(?))"
        self._database.execute(f"UPDATE versions SET mirrored=1 WHERE {where}", (json_array(versions),))

    def forget_rows(self, steps: Collection[int]) -> None:
        """Forgets what was measured at the task ends among these steps."""
        where = "step IN (SELECT value FROM json_each(?))"
        self._database.execute(f"DELETE FROM matrix WHERE {where}", (json_array(steps),))

    def forget_baselines(self) -> None:
        """Forgets what was measured at initialisation of tasks that no example is left of."""
        self._database.execute("DELETE FROM baselines WHERE task NOT IN (SELECT task FROM events)")

    def is_withdrawn(self, version: int) -> bool:
        """Whether that version was withdrawn."""
        return self._database.value("SELECT 1 FROM withdrawn WHERE version=?", (version,)) is not None

    def withdrawn(self, versions: Collection[int]) -> dict[int, str]:
        """Those of these versions that were withdrawn, with the erasure for which each was."""
        where = "version IN (SELECT value FROM json_each(?))"
        query = f"SELECT version, erasure FROM withdrawn WHERE {where}"
        return dict(self._database.rows(query, (json_array(versions),)))

    def served_probes(self) -> Iterator[ProbeReport]:
        """What was measured of the versions that were ever served and are not withdrawn, in order."""
        query = f"SELECT probes FROM versions WHERE {SERVED} ORDER BY version"
        return (msgspec.json.decode(probes, type=ProbeReport) for (probes,) in self._database.each(query))

    def served_at(self, steps: Collection[int]) -> int | None:
        """The newest of those at one of these steps; None where there is none."""
        where = f"{SERVED} AND step IN (SELECT value FROM json_each(?))"
        newest: int | None = self._database.value(
            f"SELECT max(version) FROM versions WHERE {where}", (json_array(steps),)
        )
        return newest

    def unmirrored(self) -> list[StoredVersion]:
        """Versions that the registry has not yet been told of, oldest first."""
        return self._versions("WHERE mirrored=0 ORDER BY version", ())

    def registry_lag(self, aliases: Aliases) -> int:
        """How many versions the registry has not yet been told of; 1 where it knows all, but not these aliases."""
        versions = int(self._database.value("SELECT count(*) FROM versions WHERE mirrored=0"))
        return versions or int(self._database.get("pointed", Aliases) != aliases)

    def mark_mirrored(self, version: int) -> None:
        """Notes that the registry has a version."""
        self._database.execute("UPDATE versions SET mirrored=1 WHERE version=?", (version,))

    def mark_pointed(self, aliases: Aliases) -> None:
        """Notes that the registry has these aliases."""
        self._database.put("pointed", aliases)

    def note_row(self, step: int, after: str, accuracies: dict[str, float]) -> None:
        """Stores the row of the accuracy matrix that was measured when `step` closed the task `after`.

        A row always has its own task's cell, null where no probe row has measured it.
        """
        cells: dict[str, float | None] = {after: None, **accuracies}
        self._database.change(
            "INSERT OR REPLACE INTO matrix VALUES (?, ?, ?, ?)",
            ((step, after, task, accuracy) for task, accuracy in cells.items()),
        )

    def note_cell(self, step: int, task: str, accuracy: float | None) -> None:
        """Adds to an earlier row what was measured later: a task's accuracy before it was trained."""
        if accuracy is not None:
            self._database.execute(
                "INSERT OR REPLACE INTO matrix SELECT step, after, ?, ? FROM matrix WHERE step=? LIMIT 1",
                (task, accuracy, step),
            )

    def note_baseline(self, task: str, accuracy: float | None) -> None:
        """Stores a task's accuracy at random initialisation."""
        if accuracy is not None:
            self._database.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?)", (task, accuracy))

    def has_row(self, step: int) -> bool:
        """Whether the closing of that step has been measured."""
        return bool(self._database.value("SELECT count(*) FROM matrix WHERE step=?", (step,)))

    def matrix(self, closings: Sequence[int]) -> Matrix:
        """The accuracy matrix over the given closing steps, in order."""
        rows = [self._row(step) for step in closings if self.has_row(step)]
        tasks = [after for after, _ in rows]
        accuracy = [[row.get(task) for task in tasks] for _, row in rows]
        known = dict(self._database.rows("SELECT task, accuracy FROM baselines"))
        baseline: list[float | None] = [known.get(task) for task in tasks]
        return Matrix(
            tasks=tasks,
            accuracy=accuracy,
            baseline=baseline,
            average_accuracy=metrics.average_accuracy(accuracy),
            backward_transfer=metrics.backward_transfer(accuracy),
            forward_transfer=metrics.forward_transfer(accuracy, baseline),
            forgetting=metrics.forgetting(accuracy),
        )

    def _row(self, step: int) -> tuple[str, dict[str, float | None]]:
        cells = self._database.rows("SELECT after, task, accuracy FROM matrix WHERE step=?", (step,))
        return cells[0][0], {task: accuracy for _, task, accuracy in cells}

    def _versions(self, where: str, values: tuple[int, ...]) -> list[StoredVersion]:
        rows = self._database.rows(f"SELECT version, step, lineage, probes, matrix FROM versions {where}", values)
        return [
            StoredVersion(
                number,
                step,
                msgspec.json.decode(lineage, type=Lineage),
                msgspec.json.decode(probes, type=ProbeReport),
                msgspec.json.decode(matrix, type=Matrix),
            )
            for number, step, lineage, probes, matrix in rows
        ]
