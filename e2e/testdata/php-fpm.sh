#!/bin/sh
# Runs a PHP program in PHP-FPM, as a web server does, with the ini file of PHP_INI, and prints what it prints.
set -eu

dir=$(mktemp -d)
trap 'kill "$pid" && wait "$pid" || true; rm -r "$dir"' EXIT
mkdir "$dir/conf.d"
cp "$PHP_INI" "$dir/conf.d/etrusted.ini"
cat >"$dir/fpm.conf" <<END
[global]
error_log = $dir/log
daemonize = no
[shop]
user = $(id -un)
group = $(id -gn)
listen = $dir/socket
pm = static
pm.max_children = 1
END
for fpm in php-fpm /usr/sbin/php-fpm*; do
  if command -v "$fpm" >/dev/null; then break; fi
done
PHP_INI_SCAN_DIR=":$dir/conf.d" "$fpm" --fpm-config "$dir/fpm.conf" --allow-to-run-as-root >&2 &
pid=$!
until [ -S "$dir/socket" ]; do
  kill -0 "$pid" || { cat "$dir/log" >&2; exit 1; }
  sleep 0.05
done
# The environment of cgi-fcgi becomes the request's variables: PHP-FPM's workers have an empty environment.
REQUEST_METHOD=GET SCRIPT_FILENAME=$(realpath "$1") cgi-fcgi -bind -connect "$dir/socket" >"$dir/response"
if grep -q '^Status:' "$dir/response"; then
  cat "$dir/response" "$dir/log" >&2
  exit 1
fi
sed '1,/^\r$/d' "$dir/response"
