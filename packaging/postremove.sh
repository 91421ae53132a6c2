#!/bin/sh
# Debian calls it with "remove" and later perhaps "purge"; rpm with how many versions remain.
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
# Credentials belong to the administrator, not to the package: they go only when everything is to go.
if [ "$1" = purge ]; then
  rm -rf /etc/etrusted-broker
fi
