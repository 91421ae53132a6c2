// Package e2e runs the built broker, as a process and over TLS, against an OAuth2 authorization server that we did not
// write: zitadel's OP. What our own stand-in for eTrusted and the broker might both understand wrongly (the form of a
// token request, what a refusal looks like, a JWT that others can verify) shows here and nowhere else.
//
// A real Chromium shows that no web page gets through the broker, and what the status page tells in every state: of each
// a picture is kept in the folder artifacts, or the one that E2E_ARTIFACTS names. Without a Chromium those tests are
// skipped, unless E2E_BROWSER=required says that they must not be.
//
// A real Prometheus evaluates the dashboard and the alerts of ../examples, and reads the metrics. Without prometheus and
// promtool those tests are skipped, unless E2E_PROMTOOL=required says that they must not be.
//
// Programs in PHP, Node, Java and Python, written as shops write theirs (testdata, and ../examples), show that they work
// unchanged, OAuth and all. Without a language its tests are skipped, unless E2E_PHP=required, E2E_NODE=required,
// E2E_JAVA=required or E2E_PYTHON=required says that they must not be.
//
// The manifests of ../examples/kubernetes are built by kustomize, read as strictly as the API server does, and the broker is
// run with the variables, Secrets and probes of each. That needs no cluster.
//
// Fifty brokers share a token by way of a real Redis, which dies in the middle of it. Without a redis-server those tests are
// skipped, unless E2E_REDIS=required says that they must not be.
//
// It is a module of its own so that the dependencies of that server do not become the broker's. The tests build the
// broker from the folder above; BROKER_BINARY names one that is built already.
package e2e
