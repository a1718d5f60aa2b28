# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document as JUnit XML: a check for the run, each host, address, name, account, condition, and whatever receivers look at. What is
wrong is a failure, what is not known an error, so that neither passes; what makes no run red and is to be done is skipped."""

from __future__ import annotations

import re
import typing as t
from xml.etree import ElementTree as ET

from ..findings import cases
from ..findings.authentication import DECISIVE
from ..findings.observations import LISTED, WEIGHTY
from . import matrix, verdict
from .cases import LABELS

Row = dict[str, t.Any]
Document = dict[str, t.Any]


class Check(t.NamedTuple):
    """name; wrong: what is wrong (None: nothing); unknown: what is not known (None: all is); left: what is to be done, and makes no run
    red."""

    name: str
    wrong: str | None = None
    unknown: str | None = None
    left: str | None = None

    @property
    def outcome(self) -> tuple[str, str] | None:
        """Return (the element, its text); None where the check passes."""
        for tag, text in (("failure", self.wrong), ("error", self.unknown), ("skipped", self.left)):
            if text is not None:
                return tag, text
        return None


#: What XML 1.0 cannot hold (https://www.w3.org/TR/xml/#charsets).
_NO_CHARACTER = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def build(document: Document) -> str:
    """Return the checks of a document (redact it before, where others read it)."""
    suites = {
        "run": _run(document),
        "hosts": _hosts(document),
        "addresses": _subjects(document, "addresses", "address"),
        "names": _subjects(document, "names", "name"),
        "accounts": _accounts(document),
        "outbreak": _conditions(document),
        "limits": _limits(document),
        "authentication": _authentication(document),
        "delistings": _delistings(document),
    }
    root = ET.Element("testsuites", name="Good Standing")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for title, checks in suites.items():
        if not checks:
            continue
        tags = [check.outcome[0] for check in checks if check.outcome]
        counts = {"tests": len(checks), **{f"{tag}s": tags.count(tag) for tag in ("failure", "error")}, "skipped": tags.count("skipped")}
        totals = {name: totals[name] + counts[name] for name in totals}
        head = {"name": title, "timestamp": document["run"]["started"][:19], **{name: str(number) for name, number in counts.items()}}
        suite = ET.SubElement(root, "testsuite", head)
        for check in checks:
            case = ET.SubElement(suite, "testcase", classname=f"goodstanding.{title}", name=_xml(check.name))
            if check.outcome:
                tag, told = check.outcome[0], _xml(check.outcome[1])
                ET.SubElement(case, tag, message=told[:300]).text = told
    for name, number in totals.items():
        root.set(name, str(number))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", text)


def _run(document: Document) -> list[Check]:
    """Return the run itself: it passes where script/run ends with 0, and nowhere else."""
    status, told = document["run"]["status"], verdict.sentence(document)
    return [Check("status", told if status in ("findings", "not_contained") else None, told if status == "unknown" else None)]


def _hosts(document: Document) -> list[Check]:
    checks: list[Check] = []
    for row in document["hosts"]:
        wrong = "not contained" if row["contained"] is False else None
        checks.append(Check(row["host"], wrong, None if row["assessed"] else f"could not be assessed: {row['reason']}"))
    return checks


def _subjects(document: Document, kind: str, word: str) -> list[Check]:
    said: dict[str, list[str]] = {}
    for row in document["observations"]:
        if row["outcome"] in LISTED and row["kind"] == "block" and row["tier"] in WEIGHTY and not row["suspected"]:
            words = f"{row['list']}: {'; '.join(row['meanings'])} {' '.join(row['codes'])}".strip()
            said.setdefault(row["subject"], []).append(words)
    checks: list[Check] = []
    for row in document[kind]:
        words = "\n".join(said.get(row[word], []))
        wrong = f"listed in {words}" if row["state"] == "listed" else None
        unknown = f"not known: {', '.join(row['unqualified']) or words or 'no list that is weighed answered'}"
        checks.append(Check(row[word], wrong, unknown if row["state"] == "unknown" else None))
    return checks


def _accounts(document: Document) -> list[Check]:
    checks: list[Check] = []
    for row in document["accounts"]:
        bad = row["verdict"] in ("compromised", "suspect") or (row["verdict"] == "reinstated" and row["state"] != "reinstated")
        checks.append(Check(row["account"], f"{row['verdict']}, {row['state']}: {row['sentence']}" if bad else None, None))
    return checks


def _conditions(document: Document) -> list[Check]:
    checks: list[Check] = []
    for row in document["outbreak"]["conditions"]:
        told = "\n".join(f"{each['host']}: {each['why'] or each['state']}" for each in row["hosts"] if each["state"] != "holds")
        name = f"{row['number']}. {row['name']}"
        checks.append(Check(name, told if row["state"] == "does_not" else None, told if row["state"] == "unknown" else None))
    return checks


def _limits(document: Document) -> list[Check]:
    return [
        Check(row["host"], row["why"] if row["state"] == "damaged" else None, row["why"] if row["state"] == "unknown" else None)
        for row in document["limits"]
    ]


def _authentication(document: Document) -> list[Check]:
    """Return a check for each address and domain. What receivers ask of everybody decides, as it does for the run's status."""
    part = document["authentication"]
    checks = [Check("what receivers see", None, part["why"])] if part["state"] == "unknown" else []
    found: dict[str, dict[str, list[str]]] = {}
    for row in part["checklist"]:
        told = found.setdefault(row["subject"], {"does_not": [], "unknown": [], "left": []})
        if row["state"] != "holds":
            words = "is not known" if row["state"] == "unknown" else "does not hold"
            text = f"{matrix.name_of(row['rule'])} {words}: {row['why']} {row['repair']}"
            told[row["state"] if row["rule"] in DECISIVE else "left"].append(text)
    for subject, told in found.items():
        checks.append(Check(subject, *("\n".join(told[kind]) or None for kind in ("does_not", "unknown", "left"))))
    return checks


def _delistings(document: Document) -> list[Check]:
    """Return a check for each list that has cases: a case is no fault, but it is no pass either before it is over."""
    part = document["delisting"]
    checks = [Check("followed", left=part["why"])] if part["state"] in (cases.SKIPPED, cases.FAILED) else []
    found: dict[str, dict[str, list[str]]] = {}
    for row in document["cases"]:
        told = found.setdefault(row["list"], {})
        if row["state"] != "cleared":
            told.setdefault(row["state"], []).append(row["subject"])
    for name, told in sorted(found.items()):
        lines = [f"{LABELS[state]}: {', '.join(told[state])}" for state in LABELS if state in told]
        checks.append(Check(name, left="\n".join(lines) or None))
    return checks
