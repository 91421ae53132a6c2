#!/bin/sh
# Debian calls it with "remove" or, in an update, "upgrade". rpm calls it with the number of versions that remain, 0 in a
# removal. In an update the old program keeps running until the new one is installed.
set -e

case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    for socket in etrusted-broker.socket etrusted-broker-port.socket etrusted-broker-intercept.socket; do
      systemctl disable --now "$socket" 2>/dev/null || true # exists only if the administrator installed it
    done
    systemctl disable --now etrusted-broker.service
  fi
  ;;
esac
