# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of proposals: written for a person to review, and written anew around what a person marked. Runs on the controller.

An entry that somebody reviewed stays as it is, to the byte, with its comments; what would be proposed now stands above it as a comment.
"""

from __future__ import annotations

import json
import typing as t

import yaml

from .policy import WINDOWS, Limit, PolicyError, proposals
from .propose import Proposal, Proposals

#: A comment that begins so is ours, also in an entry that somebody reviewed.
NOW = "# Proposed now:"
_HEAD = """---
# Sending limits, proposed from what each account sent so far. soft: more is put off (4xx); hard: more is refused (5xx); in recipients.
# An entry has no effect until it is reviewed. Look at it, change what is wrong, and write 'reviewed: true' or 'by: YOUR NAME': then it
# stays as you wrote it, and stands instead of rate_limit_account. Entries that are not reviewed are written anew by each run.
"""
#: Ten times as fast where PyYAML was built with libyaml.
LOADER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAIL = "# No proposal was made for these; what stands for them otherwise goes on to stand:"
#: So many accounts without a proposal are written down; the module's result has all.
MAX_NONE = 500


def load(text: str, path: str) -> t.Any:
    """Return what a file of proposals says, for policy.parse(); PolicyError where it is no YAML."""
    try:
        return yaml.load(text, Loader=LOADER)  # noqa: S506  a safe one
    except (yaml.YAMLError, ValueError) as exc:
        raise PolicyError(f"{path} is no YAML ({_fault(exc)}): correct it, or take it away and run playbooks/propose_limits.yml") from None


def render(found: Proposals, before: str | None, path: str) -> str:
    """Return the file's new text. before: its present text, None where there is none; PolicyError where it is no file of proposals."""
    head, column = _HEAD, 2
    blocks: dict[str, list[str]] = {}
    kept: dict[str, Limit] = {}
    if before is not None and before.strip():
        try:
            kept = {name: entry.limit for name, entry in proposals(load(before, path)).items() if entry.reviewed}
            head, column, blocks = _parts(before, path)
        except PolicyError as exc:
            raise PolicyError(f"{path} is left as it is: {exc}") from None
    entries = {name: _entry(name, proposal, column) for name, proposal in found.proposed.items()}
    for name, limit in kept.items():
        entries[name] = _beside(blocks[name], limit, found.proposed.get(name), column)
    lines = [line for name in sorted(entries) for line in entries[name]]
    tail = [f"#   {json.dumps(name[:100])}: {why}" for name, why in sorted(found.none.items())[:MAX_NONE] if name not in kept]
    more = [f"#   and {len(found.none) - MAX_NONE} more"] if len(found.none) > MAX_NONE else []
    text = head + "\n".join([*(["accounts:"] if lines else ["accounts: {}"]), *lines, *([_TAIL, *tail, *more] if tail else [])]) + "\n"
    _unchanged(before, text, kept, path)
    return text


def differing(found: Proposals, before: str | None, path: str) -> list[str]:
    """Return the accounts whose reviewed limit is not what would be proposed now."""
    if before is None or not before.strip():
        return []
    entries = proposals(load(before, path))
    return sorted(
        name for name, row in entries.items() if row.reviewed and name in found.proposed and found.proposed[name].limit != row.limit
    )


def _entry(name: str, proposal: Proposal, column: int) -> list[str]:
    indent = " " * column
    why = ([f"DECIDE: {proposal.decide}"] if proposal.decide else []) + list(proposal.why)
    return [
        *(f"{indent}# {line}" for line in why),
        f"{indent}{json.dumps(name)}:",
        f"{indent}  reviewed: false",
        f"{indent}  soft: {_flow(proposal.limit.soft)}",
        f"{indent}  hard: {_flow(proposal.limit.hard)}",
    ]


def _beside(block: list[str], limit: Limit, proposal: Proposal | None, column: int) -> list[str]:
    """Return the lines of a reviewed entry, with what would be proposed now above its name where that is something else."""
    lines = [line for line in block if not line.strip().startswith(NOW)]
    if proposal is None or proposal.limit == limit:
        return lines
    at = next(number for number, line in enumerate(lines) if line.strip() and not line.strip().startswith("#"))
    new = [f"soft {_flow(proposal.limit.soft)}, hard {_flow(proposal.limit.hard)}", *proposal.why, *filter(None, [proposal.decide])]
    return [*lines[:at], *(f"{' ' * column}{NOW} {line}" for line in new), *lines[at:]]


def _flow(half: t.Mapping[str, int]) -> str:
    return "{" + ", ".join(f"{window}: {half[window]}" for window in WINDOWS if window in half) + "}"


def _parts(text: str, path: str) -> tuple[str, int, dict[str, list[str]]]:
    """Return what stands before the accounts, the column of their names, and per account its lines with the comments before them."""
    root = yaml.compose(text, Loader=LOADER)
    rows = root.value if isinstance(root, yaml.MappingNode) else []
    lines = text.split("\n")
    for key, value in rows:
        if key.value != "accounts" or not isinstance(value, yaml.MappingNode):
            continue
        head = "".join(f"{line}\n" for line in lines[: key.start_mark.line])
        if not value.value:
            return head, 2, {}
        if value.flow_style:
            raise PolicyError("its accounts stand in braces; expected each on a line of its own, as this file is written")
        column = value.value[0][0].start_mark.column
        blocks: dict[str, list[str]] = {}
        begin = key.end_mark.line + 1
        for name, entry in value.value:
            end = _last_line(entry) + 1
            # A comment that stands deeper than the names is about the entry before it.
            while end < len(lines) and lines[end].strip().startswith("#") and len(lines[end]) - len(lines[end].lstrip()) > column:
                end += 1
            if name.value.strip().lower() in blocks:
                raise PolicyError(f"the account {name.value!r} is there twice: leave one")
            blocks[name.value.strip().lower()] = lines[begin:end]
            begin = end
        return head, column, blocks
    raise PolicyError("it has no accounts: expected a file that playbooks/propose_limits.yml wrote; name another one")


def _last_line(node: yaml.Node) -> int:
    """Return the last line of a value: a mapping in lines of its own ends where its last value does."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end = int(node.end_mark.line)
    return end - 1 if node.end_mark.column == 0 and end > node.start_mark.line else end


def _unchanged(before: str | None, after: str, kept: dict[str, Limit], path: str) -> None:
    """PolicyError where a reviewed entry would not be the same afterwards: then this file is written in a way that is not understood."""
    if not kept or not before:
        return
    old, new = (load(text, path)["accounts"] for text in (before, after))
    for name, entry in old.items():
        if name.strip(" ").lower() in kept and new.get(name) != entry:
            raise PolicyError(
                f"{path} is left as it is: the entry of {name!r} could not be kept; write the entries as this file is written"
            )


def _fault(exc: Exception) -> str:
    mark = getattr(exc, "problem_mark", None)
    what = str(getattr(exc, "problem", None) or exc)[:120]
    return f"line {mark.line + 1}: {what}" if mark is not None else what
