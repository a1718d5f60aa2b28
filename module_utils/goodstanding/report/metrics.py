# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document in figures for Prometheus, as a text file (https://prometheus.io/docs/instrumenting/exposition_formats/), without accounts.

A source bears the time of what it says, not its age: time() - goodstanding_source_timestamp_seconds goes on when no run writes the file.
"""

from __future__ import annotations

import datetime
import typing as t

from ..delisting import enrolments
from ..findings.cases import FOLLOWED, OFF
from ..findings.observations import LISTED
from ..findings.times import epoch
from . import cases, verdict

Document = dict[str, t.Any]
#: Labels and a value.
Sample = tuple[dict[str, str], float]


def build(document: Document) -> str:
    """Return the metrics of a document."""
    run, outbreak = document["run"], document["outbreak"]
    told = [row for row in document["observations"] if row["kind"] == "block" and row["outcome"] in LISTED and not row["suspected"]]
    lines: list[str] = []

    def gauge(name: str, words: str, samples: t.Iterable[Sample]) -> None:
        rows = [f"goodstanding_{name}{_labels(labels)} {value:.15g}" for labels, value in samples]
        if rows:
            lines.extend([f"# HELP goodstanding_{name} {words}", f"# TYPE goodstanding_{name} gauge", *rows])

    def counted(name: str, words: str, label: str, values: t.Sequence[str], found: t.Iterable[str]) -> None:
        numbers = dict.fromkeys(values, 0)
        for value in found:
            numbers[value] += 1
        gauge(name, words, [({label: value}, number) for value, number in numbers.items()])

    gauge("run_timestamp_seconds", "When the run ended.", [({}, epoch(run["finished"] or run["started"]))])
    counted("run_status", "What the run found; one of them is 1.", "status", list(verdict.NAMES), [run["status"]])
    for kind in ("addresses", "names"):
        states = ("listed", "unknown", "clean")
        counted(kind, f"Sending {kind} by what the lists say.", "state", states, [row["state"] for row in document[kind]])
    counted("listings", "Listings by the weight of the list.", "tier", "ABCD", [row["tier"] for row in told])
    verdicts = ("compromised", "suspect", "exempt", "reinstated")
    counted("accounts", "Accounts that the run names.", "verdict", verdicts, [row["verdict"] for row in document["accounts"]])
    gauge("accounts_locked", "Accounts that are locked on a host.", [({}, len(verdict.locked(document)))])
    counted("hosts", "Mail hosts.", "assessed", ("yes", "no"), ["yes" if row["assessed"] else "no" for row in document["hosts"]])
    counted("outbreak", "Whether the outbreak has ended; one of them is 1.", "state", list(verdict.OUTBREAK), [outbreak["state"]])
    rules = document.get("authentication") or {"state": "off"}
    if rules["state"] == "asked":
        states = ("holds", "does_not", "unknown")
        counted("rules", "Rules of receivers, of each address and domain.", "state", states, [row["state"] for row in rules["checklist"]])
    part = document["delisting"]["state"]
    if part != OFF:
        gauge("cases_followed", "Whether the delistings could be followed.", [({}, part == FOLLOWED)])
    if part == FOLLOWED:
        numbers = cases.counts(document)
        gauge("cases", "Delistings that are open, or ended in this run.", [({"state": state}, number) for state, number in numbers.items()])
        kinds = (enrolments.ALIVE, enrolments.SILENT, enrolments.LAPSED, enrolments.MISSING, enrolments.UNKNOWN)
        counted("enrolments", "What is to be signed up for.", "state", kinds, [row["state"] for row in document["enrolments"]])
    points = [row["severity"] for row in document["open_points"]]
    counted("open_points", "What is left to a person.", "severity", ("critical", "warning", "info"), points)
    times, believed = _sources(document)
    words = "Until when what a source says is known."
    gauge("source_timestamp_seconds", words, [({"source": name}, time) for name, time in sorted(times.items())])
    words = "Whether a source could be believed for every address and name that it was asked about."
    gauge("source_believed", words, [({"source": name}, known) for name, known in sorted(believed.items())])
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    texts = []
    for name, value in labels.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        texts.append(f'{name}="{escaped.encode("utf-8", "replace").decode()}"')
    return f"{{{','.join(texts)}}}" if texts else ""


def _sources(document: Document) -> tuple[dict[str, float], dict[str, bool]]:
    """Return per source until when what it says is known, and whether it could be believed. A list is asked by the run itself."""
    rows = verdict.subjects(document)
    believed = {source: True for row in rows for source in row["clean"]}
    believed |= {row["source"]: True for row in document["observations"]}
    believed |= {row["zone"]: False for row in document["lists"]} | {source: False for row in rows for source in row["unqualified"]}
    asked = epoch(document["run"]["started"])
    times = {source: asked for source, known in believed.items() if known and not source.startswith(("log:", "snds", "complaints:"))}
    for row in document["observations"]:
        at = _said_at(row["qualified_by"])
        if at is not None and believed[row["source"]]:
            times[row["source"]] = max(at, times.get(row["source"], 0.0))
    times |= {f"log of {row['host']}": epoch(row["log"]["last"]) for row in document["hosts"] if row["log"] and row["log"]["last"]}
    return times, believed


def _said_at(how: dict[str, t.Any]) -> float | None:
    """Return when an answer was given, or the end of the time that it is about; None where neither is known."""
    if how["at"] is not None:
        return epoch(how["at"])
    try:  # of a feed: to the minute, without a zone
        return datetime.datetime.fromisoformat(how.get("period_end") or "").replace(tzinfo=datetime.timezone.utc).timestamp()
    except ValueError:
        return None
