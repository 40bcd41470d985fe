#!/usr/bin/env bash
# Makes the virtual environment that the Makefile works in.      environment.sh PYTHON VENV runtime|dev
# Touches nothing outside VENV, except that root on Debian or Ubuntu gets the missing python3-venv package.
set -euo pipefail
python=$1 venv=$2 kind=$3
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

stop() { echo "environment.sh: $*" >&2; exit 2; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  stop "needs Python 3.11 or newer, and '$python' is not: make … PYTHON=/path/to/python3.11"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
    stop "'$python' cannot make virtual environments: apt-get install python3-venv"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi

# An environment whose interpreter is gone (moved checkout, upgraded system) is made again.
"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"

started=$SECONDS
echo "environment.sh: installing the $kind dependencies into $venv …" >&2
pip=("$venv/bin/python" -m pip install --quiet --prefer-binary)
if [[ $kind == dev ]]; then
  "${pip[@]}" 'pip>=25.1' # the first that reads dependency groups
  "${pip[@]}" --editable . --group dev
  touch "$venv/.sublet-dev"
else
  "${pip[@]}" --editable .
fi
touch "$venv/.sublet-runtime" # the development environment holds the runtime's dependencies too
echo "environment.sh: done in $((SECONDS - started)) s" >&2
