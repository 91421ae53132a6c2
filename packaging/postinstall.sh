#!/bin/sh
# Debian calls it with "configure" and, at an update, the version before; rpm with how many versions are installed then.
# It does nothing that is not right twice.
set -e

directory=/etc/etrusted-broker

# Where systemd does not run (a container's image being built), there is nothing to tell.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # The new program in place of the old, if that runs. Not enabled, not started: without credentials it cannot work.
  systemctl try-restart etrusted-broker.service
fi

if [ ! -e "$directory/client_id" ] || [ ! -e "$directory/client_secret" ]; then
  cat <<END
etrusted-broker: give it the credentials (paste each value, press Enter, then Ctrl-D) and start it:
  sudo sh -c 'umask 077; cat > $directory/client_id'
  sudo sh -c 'umask 077; cat > $directory/client_secret'
  sudo systemctl enable --now etrusted-broker
More: /usr/share/doc/etrusted-broker/README.md
END
fi
