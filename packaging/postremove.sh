#!/bin/sh
# Debian calls it with "remove", and later possibly with "purge". rpm calls it with the number of versions that remain.
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
# Credentials belong to the administrator, not to the package. Delete them only in a purge.
if [ "$1" = purge ]; then
  rm -rf /etc/etrusted-broker
fi
