# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of a run in its files: validated, written whole, and as a page for a person."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
import typing as t
from pathlib import Path

import jinja2
import jsonschema
import markupsafe

from ..findings.document import upgrade
from .page import view


class ReportError(Exception):
    """A report or a findings file cannot be read or written; the message names it."""


def validate(document: dict[str, t.Any], schema: str) -> None:
    """ReportError where the document does not have the shape of report.schema.json."""
    try:
        rules = json.loads(Path(schema).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ReportError(f"the schema {schema} cannot be read: {exc}") from exc
    fault = next(
        iter(sorted(jsonschema.Draft202012Validator(rules).iter_errors(document), key=lambda error: list(map(str, error.path)))), None
    )
    if fault is not None:
        raise ReportError(f"the findings are wrong at {'/'.join(map(str, fault.absolute_path)) or 'their top'}: {fault.message[:300]}")


def load(path: str, schema: str) -> dict[str, t.Any]:
    """Return the document of a findings file."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ReportError(f"the findings file {path} cannot be read ({exc}): give the findings.json of an earlier assess run") from exc
    if not isinstance(document, dict):
        raise ReportError(f"the findings file {path} holds no findings: give the findings.json of an earlier assess run")
    document = upgrade(document)
    validate(document, schema)
    return document


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Write a file whole, readable by its owner alone where it is not said otherwise: it names accounts."""
    target = Path(path)
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            os.fchmod(handle, mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def as_json(document: dict[str, t.Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=False, ensure_ascii=False) + "\n"


def as_page(document: dict[str, t.Any], template: str) -> str:
    """Return the HTML page; everything in the document is text from outside and is escaped."""
    folder = Path(template).parent
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
        loader=jinja2.FileSystemLoader(folder),
    )
    environment.filters["csp_hash"] = _csp_hash
    # What the page's policy lets run is these two texts and nothing else.
    style, script = (_own(folder / "page" / name) for name in ("page.css", "page.js"))
    page = environment.get_template(Path(template).name)
    return page.render(report=document, view=view(document), style=style, script=script)


def _visible(value: t.Any) -> t.Any:
    """Return a text from outside without what is not seen and changes how its neighbours are (control characters, turns of direction)."""
    if isinstance(value, str) and not isinstance(value, markupsafe.Markup) and not value.isprintable():
        return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in value)
    return value


def _own(path: Path) -> markupsafe.Markup:
    return markupsafe.Markup(path.read_text(encoding="utf-8"))  # noqa: S704  a file of the template's


def _csp_hash(text: str) -> markupsafe.Markup:
    """Return what a Content-Security-Policy calls an inline script or style by."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return markupsafe.Markup(f"'sha256-{digest}'")  # noqa: S704  a digest in base64


def point_latest(directory: str, run_id: str) -> None:
    """Make the link latest name this run's folder."""
    link = Path(directory) / "latest"
    trial = Path(directory) / f".latest-{run_id}"
    trial.unlink(missing_ok=True)
    trial.symlink_to(run_id)
    trial.replace(link)
