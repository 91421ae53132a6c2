#!/bin/sh
# Debian calls it with "configure" and, in an update, the previous version. rpm calls it with the number of versions that are
# then installed. Running it twice is harmless.
set -e

directory=/etc/etrusted-broker

# service ACTION UNIT: on Debian, an administrator may have forbidden the action in policy-rc.d.
service() {
  if command -v deb-systemd-invoke >/dev/null; then deb-systemd-invoke "$@"; else systemctl "$@"; fi
}

# systemd may not be running, for example while a container image is built.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # Restart a running broker with the new program. Do not enable or start it otherwise: it cannot work without credentials.
  service try-restart etrusted-broker.service
fi

if [ ! -e "$directory/client_id" ] || [ ! -e "$directory/client_secret" ]; then
  cat <<END
etrusted-broker: add the credentials (paste each value, press Enter, then Ctrl-D), test them, and start it:
  sudo sh -c 'umask 077; cat > $directory/client_id'
  sudo sh -c 'umask 077; cat > $directory/client_secret'
  sudo etrusted-broker check
  sudo systemctl enable --now etrusted-broker
More: /usr/share/doc/etrusted-broker/README.md
END
fi
