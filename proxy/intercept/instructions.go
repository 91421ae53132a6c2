package intercept

import "strings"

// Instructions says, for people, how to make the authority's certificate, at path, trusted by one app at a time. Its lines
// are for a POSIX shell. They take it that the broker listens on its default address.
func Instructions(path string) string {
	return strings.ReplaceAll(instructions, "{path}", quote(path))
}

// Each line was tried with a real client. Most settings replace the authorities that an app trusts, so they are given all
// of them; ca.crt comes first because a bundle's last line may lack its end.
const instructions = `Make ca.crt trusted by the apps that use the broker as their proxy, each by itself, and never by the whole machine.
It vouches for the eTrusted hosts only. Once in each terminal where you use a line from below:

  CA={path}
  BUNDLE=$PWD/etrusted-bundle.pem
  cat "$CA" /etc/ssl/certs/ca-certificates.crt > "$BUNDLE"   # Red Hat: /etc/pki/tls/certs/ca-bundle.crt
  export HTTPS_PROXY=http://127.0.0.1:8080                   # the broker, as BROKER_LISTEN says

The bundle is needed since most settings replace what an app trusts: with "$CA" in its place, the app would trust the
broker and nobody else, which is right for an app that speaks to no other HTTPS host. Make the bundle again when the
system's authorities are updated. If the app may not read the folder of ca.crt, copy that file (never ca.key).

With HTTPS_PROXY the app sends the broker its requests to every HTTPS host, and the broker refuses all but eTrusted's.
Name the others in NO_PROXY.

PHP
  php -d curl.cainfo="$BUNDLE" -d openssl.cafile="$BUNDLE" app.php
  In the code, and so under PHP-FPM and Apache too:
    curl_setopt($ch, CURLOPT_CAINFO, '/path/of/etrusted-bundle.pem');
    curl_setopt($ch, CURLOPT_PROXY, 'http://127.0.0.1:8080');
  file_get_contents does not know HTTPS_PROXY: give it a context with 'http' => ['proxy' => 'tcp://127.0.0.1:8080'].

Java (a truststore of the app's own, begun as a copy of Java's; HTTPS_PROXY is not known, and NO_PROXY is http.nonProxyHosts)
  cat "$JAVA_HOME/lib/security/cacerts" > etrusted-truststore
  keytool -importcert -noprompt -alias etrusted-broker -file "$CA" -keystore etrusted-truststore -storepass changeit
  java -Djavax.net.ssl.trustStore=etrusted-truststore -Djavax.net.ssl.trustStorePassword=changeit -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -jar app.jar

Node (adds to what is trusted)
  NODE_EXTRA_CA_CERTS="$CA" NODE_USE_ENV_PROXY=1 node app.js
  Node before 22.21 (of 24, before 24.5) ignores NODE_USE_ENV_PROXY, if only for https.request. There, for fetch:
    npm install undici@6
    const { EnvHttpProxyAgent, setGlobalDispatcher } = require('undici');
    setGlobalDispatcher(new EnvHttpProxyAgent());
  and for https.request, an agent of the package https-proxy-agent.

Python (requests reads the one variable, urllib, httpx and others the other)
  REQUESTS_CA_BUNDLE="$BUNDLE" SSL_CERT_FILE="$BUNDLE" python3 app.py

Go (on Linux)
  SSL_CERT_FILE="$BUNDLE" ./app

curl
  curl --cacert "$CA" https://api.etrusted.com/channels
`

// quote makes one word of the path for a shell, whatever is in it.
func quote(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
