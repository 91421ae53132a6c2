#!/bin/sh
# Debian calls it with "remove" or, at an update, "upgrade"; rpm with how many versions remain, 0 at a removal. An update
# leaves the old program serving until the new one is there.
set -e

case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now etrusted-broker.socket 2>/dev/null || true # only there if the administrator put it there
    systemctl disable --now etrusted-broker.service
  fi
  ;;
esac
