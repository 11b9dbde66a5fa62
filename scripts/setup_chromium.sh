#!/bin/sh
# The browser of the browser tests, from Debian's packages. Elsewhere: install Chromium as /usr/bin/chromium.
set -eu
[ -x /usr/bin/chromium ] && exit 0
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
$as_root apt-get update -q
$as_root apt-get install -y -q --no-install-recommends chromium
