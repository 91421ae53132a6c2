#!/bin/sh
# Creates a truststore with Java's own CAs and the broker's, which is the first in the bundle: truststore.sh BUNDLE TRUSTSTORE
set -eu
home=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v keytool)")")")}
cat "$home/lib/security/cacerts" >"$2"
keytool -importcert -noprompt -alias etrusted-broker -file "$1" -keystore "$2" -storepass changeit
