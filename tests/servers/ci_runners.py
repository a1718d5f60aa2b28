# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the workflows of docs/ci step by step, as the runners of GitHub and GitLab do: their own shell lines, in a checkout for each job.

What is not run: `uses:` steps, of which the effect is played (checkout, artifacts), and script/bootstrap, since the environment is there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pyrage
import yaml

ROOT = Path(__file__).resolve().parents[2]
FORMS = ("github", "gitlab")
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.]+)\s*\}\}")
_UNEQUAL = re.compile(r"([\w.]+) != '([^']*)'\Z")


class Done(t.NamedTuple):
    """A job that ended: the exit code of the step that failed, or 0; what its log shows; what was shown beside it."""

    code: int
    log: str
    summary: str


class Runner:
    """One pipeline: its jobs, what they hand on, and the secrets of its repository.

    inventory: the folder that is inventories/fleet; secrets: the variables in ci/secrets.sops.yml; known_hosts: ci/known_hosts;
    environment: added to that of each step."""

    def __init__(
        self,
        form: str,
        folder: Path,
        inventory: Path,
        secrets: dict[str, str],
        known_hosts: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.form, self.folder = form, folder
        self.file: dict[str, t.Any] = yaml.safe_load((ROOT / f"docs/ci/{form}/goodstanding.yml").read_text(encoding="utf-8"))
        folder.mkdir()
        self.artifacts, self.outputs = folder / "artifacts", dict[str, dict[str, str]]()
        own = {name: value for name, value in os.environ.items() if name not in ("GOODSTANDING_STATE_URL", "SSH_AUTH_SOCK")}
        self.environment = {**own, "CI": "true", "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", **(environment or {})}
        identity = pyrage.x25519.Identity.generate()
        self.age_key = str(identity)
        keys = folder / "ci"
        keys.mkdir(mode=0o700)
        self.ca = self._key(keys / "ca")
        (keys / "plain.yml").write_text(yaml.safe_dump(secrets), encoding="utf-8")
        (keys / "known_hosts").write_text(known_hosts, encoding="utf-8")
        to = str(identity.to_public())
        for plain, name, kind in (("plain.yml", "secrets.sops.yml", "yaml"), ("ca", "ssh_ca.sops", "binary")):
            done = self._run(
                "sops", "encrypt", "--age", to, "--input-type", kind, "--output-type", "json" if kind == "binary" else kind, plain, cwd=keys
            )
            (keys / name).write_text(done, encoding="utf-8")
            (keys / plain).unlink()
        self.inventory = inventory

    @property
    def plan(self) -> Path:
        """The plan as it waits for approval."""
        (found,) = self.artifacts.rglob("plan.json")
        return found

    def job(self, name: str) -> Done | None:
        """Run a job; None where its condition keeps it from running."""
        work = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        self._checkout(work)
        return (self._github if self.form == "github" else self._gitlab)(name, work)

    def _run(self, *words: str, cwd: Path) -> str:
        done = subprocess.run(words, cwd=cwd, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words[:2])}: {done.stderr[-2000:]}"
        return done.stdout

    def _key(self, path: Path) -> str:
        self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path), cwd=path.parent)
        return path.with_suffix(".pub").read_text(encoding="utf-8")

    def _checkout(self, work: Path) -> None:
        """What actions/checkout does: the files of the repository, with an inventory and its secrets in it."""
        for name in self._run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
            if not name.startswith(("tests/", "bench/")) and (ROOT / name).is_file():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, work / name)
        shutil.copytree(self.inventory, work / "inventories/fleet")
        shutil.copytree(self.folder / "ci", work / "ci", ignore=shutil.ignore_patterns("ca*"))
        (work / ".venv").symlink_to(ROOT / ".venv")
        (work / "script/bootstrap").write_text("#!/bin/sh\n", encoding="utf-8")

    def _shell(self, lines: str, work: Path, environment: dict[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", lines],
            cwd=work, env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _github(self, name: str, work: Path) -> Done | None:
        job = self.file["jobs"][name]
        known = {f"needs.{needed}.outputs.{key}": value for needed, row in self.outputs.items() for key, value in row.items()}
        known["secrets.SOPS_AGE_KEY"] = self.age_key
        if "if" in job:
            left, right = t.cast("re.Match[str]", _UNEQUAL.match(job["if"])).groups()
            if known[left] == right:
                return None
        said, summary, code = [], work / "summary.md", 0
        summary.touch()
        for step in job["steps"]:
            if code and step.get("if") != "always()":
                continue
            if "uses" in step:
                self._uses(step, work)
                continue
            output = work / "output"
            output.write_text("", encoding="utf-8")
            given = {**self.file["env"], **step.get("env", {})}
            environment = {key: _EXPRESSION.sub(lambda found: known[found[1]], str(value)) for key, value in given.items()}
            files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_RUN_ID": "1"}
            ended, text = self._shell(step["run"], work, {**environment, **files})
            said.append(text)
            code = code or ended
            for line in output.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                known[f"steps.{step['id']}.outputs.{key}"] = value
        if not code:
            outputs = job.get("outputs", {})
            self.outputs[name] = {key: _EXPRESSION.sub(lambda found: known[found[1]], value) for key, value in outputs.items()}
        return Done(code, "".join(said), summary.read_text(encoding="utf-8"))

    def _uses(self, step: dict[str, t.Any], work: Path) -> None:
        action, given = step["uses"].partition("@")[0], step.get("with", {})
        if action == "actions/upload-artifact":
            for path in given["path"].split():
                if (work / path).exists():
                    self._keep(work / path, given["name"])
        elif action == "actions/download-artifact":
            shutil.copytree(self.artifacts / given["name"], work / given["path"])
        else:
            assert action == "actions/checkout", f"no runner plays {action}"

    def _keep(self, path: Path, name: str) -> None:
        (self.artifacts / name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, self.artifacts / name / path.name)

    def _gitlab(self, name: str, work: Path) -> Done:
        job, default = self.file[name], self.file["default"]
        environment = {**self.file["variables"], "SOPS_AGE_KEY": self.age_key, "CI_JOB_ID": "1"}
        for needed in job.get("needs", []):
            environment |= self.outputs[needed]
            for path in self.file[needed]["artifacts"]["paths"]:
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.artifacts / needed / Path(path).name, work / path)
        code, log = self._shell("\n".join([*default["before_script"], *job["script"]]), work, environment)
        reports = job["artifacts"]["reports"]
        if not code or job["artifacts"].get("when") == "always":
            for path in [*job["artifacts"]["paths"], reports["junit"]]:
                if (work / path).exists():
                    self._keep(work / path, name)
        if not code and "dotenv" in reports:
            lines = (work / reports["dotenv"]).read_text(encoding="utf-8").splitlines()
            self.outputs[name] = dict(line.split("=", 1) for line in lines)
        log += self._shell("\n".join(default["after_script"]), work, environment)[1]
        return Done(code, log, log)


def tamper(path: Path) -> None:
    """Alter one byte: the last digit of the time until which the plan is good, so that it is a whole plan still."""
    text = path.read_text(encoding="utf-8")
    expires = json.loads(text)["expires"]
    other = expires[:-2] + ("1" if expires[-2] != "1" else "2") + "Z"
    path.write_text(text.replace(expires, other), encoding="utf-8")
