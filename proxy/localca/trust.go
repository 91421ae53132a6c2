package localca

import "strings"

// TrustInstructions returns instructions for making individual apps trust the CA certificate at path. The commands are
// for a POSIX shell and assume that the broker listens on its default address.
func TrustInstructions(path string) string {
	return strings.ReplaceAll(trustInstructions, "{path}", shellQuote(path))
}

// Each line was tested with a real client. Most settings replace the CAs that an app trusts, so they get a bundle of
// all. ca.crt comes first in it, because the last line of a bundle may lack its line break.
const trustInstructions = `Make each app that uses the broker as its proxy trust ca.crt, but never the whole machine. ca.crt is valid only for the
eTrusted hosts. In each terminal, first run:

  CA={path}
  BUNDLE=$PWD/etrusted-bundle.pem
  cat "$CA" /etc/ssl/certs/ca-certificates.crt > "$BUNDLE"   # Red Hat: /etc/pki/tls/certs/ca-bundle.crt
  export HTTPS_PROXY=http://127.0.0.1:8080                   # the broker, as BROKER_LISTEN says

Most settings replace the CAs that an app trusts, hence the bundle. An app that calls no other HTTPS host can use "$CA"
instead, and then trusts only the broker. Recreate the bundle after updates of the system's CAs. If the app cannot read
the directory of ca.crt, copy that file (never ca.key).

With HTTPS_PROXY the app sends requests for every HTTPS host to the broker, which refuses all hosts except eTrusted's.
Add the other hosts to NO_PROXY.

PHP
  php -d curl.cainfo="$BUNDLE" -d openssl.cafile="$BUNDLE" app.php
  In code (also works with PHP-FPM and Apache):
    curl_setopt($ch, CURLOPT_CAINFO, '/path/of/etrusted-bundle.pem');
    curl_setopt($ch, CURLOPT_PROXY, 'http://127.0.0.1:8080');
  file_get_contents ignores HTTPS_PROXY: pass a context with 'http' => ['proxy' => 'tcp://127.0.0.1:8080'].

Java (a separate truststore, copied from Java's; Java ignores HTTPS_PROXY, and NO_PROXY is http.nonProxyHosts)
  cat "$JAVA_HOME/lib/security/cacerts" > etrusted-truststore
  keytool -importcert -noprompt -alias etrusted-broker -file "$CA" -keystore etrusted-truststore -storepass changeit
  java -Djavax.net.ssl.trustStore=etrusted-truststore -Djavax.net.ssl.trustStorePassword=changeit -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -jar app.jar

Node (adds ca.crt to the trusted CAs)
  NODE_EXTRA_CA_CERTS="$CA" NODE_USE_ENV_PROXY=1 node app.js
  Node before 22.21 (24: before 24.5) ignores NODE_USE_ENV_PROXY, at least for https.request. There, for fetch:
    npm install undici@6
    const { EnvHttpProxyAgent, setGlobalDispatcher } = require('undici');
    setGlobalDispatcher(new EnvHttpProxyAgent());
  and for https.request, use an agent of the package https-proxy-agent.

Python (requests reads REQUESTS_CA_BUNDLE; urllib, httpx and others read SSL_CERT_FILE)
  REQUESTS_CA_BUNDLE="$BUNDLE" SSL_CERT_FILE="$BUNDLE" python3 app.py

Go (on Linux)
  SSL_CERT_FILE="$BUNDLE" ./app

curl
  curl --cacert "$CA" https://api.etrusted.com/channels
`

// shellQuote quotes the path as one shell word, whatever characters it contains.
func shellQuote(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
