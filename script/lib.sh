# shellcheck shell=bash
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What the scripts share; sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
# A UTF-8 locale is what Ansible asks for; the .venv comes first, since its tools call each other by name.
export LC_ALL=C.UTF-8 PATH="$VENV/bin:$PATH" ANSIBLE_CONFIG=$ROOT/ansible.cfg

say() {
    if [ -t 1 ]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi
}

# die CODE MESSAGE
die() {
    local code=$1
    shift
    printf 'error: %s\n' "$*" >&2
    exit "$code"
}
