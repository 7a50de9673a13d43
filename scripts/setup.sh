#!/bin/sh
# Makes .venv and installs the project with everything that its commands need. Called by `make setup`.
set -eu
PYTHON=${PYTHON:-python3}

stop() {
    echo "setup: $1" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null || stop "there is no $PYTHON; install Python 3.11 or newer, or name one: make setup PYTHON=python3.12"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$PYTHON" --version) is too old; Glasstune needs 3.11 or newer: make setup PYTHON=python3.12"

# pycairo and manimpango, which Manim stands on, have no Linux wheels: they are compiled against these.
install_debian() {
    wanted="gcc libc6-dev pkg-config python3-dev libcairo2-dev libpango1.0-dev"
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || wanted="$wanted python3-venv"
    # The run page is tested in a browser, and its modules in Node.
    command -v chromium >/dev/null || wanted="$wanted chromium"
    command -v node >/dev/null || wanted="$wanted nodejs"
    missing=""
    for package in $wanted; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    install="apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" = 0 ]; then
        as_root="env DEBIAN_FRONTEND=noninteractive"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root="sudo env DEBIAN_FRONTEND=noninteractive"
    else
        stop "system packages are missing, and this user may not install them; as root run: apt-get update && $install"
    fi
    echo "Installing system packages:$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    { $as_root apt-get update && $as_root $install; } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        stop "apt-get failed (above); mend that, or as root run: apt-get update && $install"
    }
    rm -f "$log"
}

install_macos() {
    command -v brew >/dev/null || stop "cairo and pango are needed; install Homebrew (brew.sh), then: brew install cairo pango pkg-config"
    for formula in cairo pango pkg-config; do
        brew list "$formula" >/dev/null 2>&1 || brew install "$formula"
    done
}

case $(uname) in
Darwin) install_macos ;;
*)
    if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
        install_debian
    else
        echo "setup: not a Debian system; if what follows fails, install a C compiler and cairo's and pango's headers" >&2
    fi
    ;;
esac

# A folder that an interrupted set-up left behind has no pip, and is made anew.
[ -x .venv/bin/pip ] || "$PYTHON" -m venv --clear .venv || stop "the virtual environment could not be made; on Debian: apt-get install python3-venv"
echo "Installing Python packages into .venv (a few minutes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
