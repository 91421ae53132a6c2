#!/bin/sh
# Debian calls it with "remove" or, in an update, "upgrade". rpm calls it with the number of versions that remain, 0 in a
# removal. In an update the old program keeps running until the new one is installed.
set -e

case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now etrusted-broker.socket 2>/dev/null || true # exists only if the administrator installed it
    systemctl disable --now etrusted-broker.service
  fi
  ;;
esac
