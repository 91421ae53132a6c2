#!/bin/sh
# Debian calls it with "remove" or, in an update, "upgrade". rpm calls it with the number of versions that remain, 0 in a
# removal. In an update the old program keeps running until the new one is installed.
set -e

# service ACTION UNIT: on Debian, an administrator may have forbidden the action in policy-rc.d.
service() {
  if command -v deb-systemd-invoke >/dev/null; then deb-systemd-invoke "$@"; else systemctl "$@"; fi
}

case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    # The sockets come first, or they would start the service again. They exist only if the administrator installed them.
    for unit in etrusted-broker.socket etrusted-broker-port.socket etrusted-broker-intercept.socket etrusted-broker.service; do
      service stop "$unit" 2>/dev/null || true
      systemctl --quiet disable "$unit" 2>/dev/null || true
    done
  fi
  ;;
esac
