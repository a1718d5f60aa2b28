# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document as JUnit XML: a check for the run, each host, address, name, account and condition. What is wrong is a failure, what is not
known an error, so that neither passes."""

from __future__ import annotations

import re
import typing as t
from xml.etree import ElementTree as ET

from ..findings.observations import LISTED, WEIGHTY
from . import verdict

Row = dict[str, t.Any]
Document = dict[str, t.Any]
#: Name, what is wrong (None: nothing), what is not known (None: all is).
Check = tuple[str, "str | None", "str | None"]

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
    }
    root = ET.Element("testsuites", name="Good Standing")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for title, checks in suites.items():
        if not checks:
            continue
        counts = {
            "tests": len(checks),
            "failures": sum(wrong is not None for _, wrong, _ in checks),
            "errors": sum(wrong is None and unknown is not None for _, wrong, unknown in checks),
        }
        totals = {name: totals[name] + number for name, number in counts.items()}
        head = {"name": title, "timestamp": document["run"]["started"][:19], **{name: str(number) for name, number in counts.items()}}
        suite = ET.SubElement(root, "testsuite", head)
        for name, wrong, unknown in checks:
            case = ET.SubElement(suite, "testcase", classname=f"goodstanding.{title}", name=_xml(name))
            if wrong is not None or unknown is not None:
                told = _xml(wrong if wrong is not None else unknown or "")
                ET.SubElement(case, "failure" if wrong is not None else "error", message=told[:300]).text = told
    for name, number in totals.items():
        root.set(name, str(number))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", text)


def _run(document: Document) -> list[Check]:
    """Return the run itself: it passes where script/run ends with 0, and nowhere else."""
    status, told = document["run"]["status"], verdict.sentence(document)
    return [("status", told if status in ("findings", "not_contained") else None, told if status == "unknown" else None)]


def _hosts(document: Document) -> list[Check]:
    checks: list[Check] = []
    for row in document["hosts"]:
        wrong = "not contained" if row["contained"] is False else None
        checks.append((row["host"], wrong, None if row["assessed"] else f"could not be assessed: {row['reason']}"))
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
        checks.append((row[word], wrong, unknown if row["state"] == "unknown" else None))
    return checks


def _accounts(document: Document) -> list[Check]:
    checks: list[Check] = []
    for row in document["accounts"]:
        bad = row["verdict"] in ("compromised", "suspect") or (row["verdict"] == "reinstated" and row["state"] != "reinstated")
        checks.append((row["account"], f"{row['verdict']}, {row['state']}: {row['sentence']}" if bad else None, None))
    return checks


def _conditions(document: Document) -> list[Check]:
    checks: list[Check] = []
    for row in document["outbreak"]["conditions"]:
        told = "\n".join(f"{each['host']}: {each['why'] or each['state']}" for each in row["hosts"] if each["state"] != "holds")
        name = f"{row['number']}. {row['name']}"
        checks.append((name, told if row["state"] == "does_not" else None, told if row["state"] == "unknown" else None))
    return checks


def _limits(document: Document) -> list[Check]:
    return [
        (row["host"], row["why"] if row["state"] == "damaged" else None, row["why"] if row["state"] == "unknown" else None)
        for row in document["limits"]
    ]
