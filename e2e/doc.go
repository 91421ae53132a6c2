// Package e2e runs the broker's binary as a process, over TLS, against an OAuth2 authorization server from another project:
// zitadel's OP. These tests find what the broker and its own fake eTrusted could both get wrong: the format of a token
// request, the response to wrong credentials, a JWT that others can verify.
//
// Some tests need a program that may not be installed. Without it they are skipped, unless a variable has the value "required":
//
//   - E2E_BROWSER: Chromium. Pages attack the broker, and the status page is checked in every state. A picture of each state is
//     saved in the directory artifacts, or in E2E_ARTIFACTS.
//   - E2E_PROMTOOL: prometheus and promtool. They evaluate the dashboard and the alerts of ../examples, and read the metrics.
//   - E2E_PHP, E2E_NODE, E2E_JAVA, E2E_PYTHON: programs as shops write them (testdata and ../examples), which must work
//     unchanged, including their OAuth code.
//   - E2E_PHP_FPM, E2E_SHELL (curl and wget), E2E_UNDICI, E2E_REQUESTS: more ways of sending requests, for the same programs.
//   - E2E_HELM: helm. The chart of ../examples/helm is compared with the kustomize base.
//   - E2E_NAMESPACES: unshare and ip, and root or user namespaces. In a network and a hosts file of their own, programs use the
//     real names of the API and the login server, which lead to the broker on port 443.
//   - E2E_WINE: wine, and before version 9 also a linker for Windows. The program for Windows is run in a console and as a service: see
//     package windows.
//   - E2E_REDIS: redis-server. Fifty brokers share a token in a Redis that crashes meanwhile.
//
// The manifests of ../examples/kubernetes are built with kustomize and decoded as strictly as by the API server. The broker
// is run with the variables, Secrets and probes of each. That needs no cluster.
//
// This is a separate module, so that the authorization server's dependencies do not become the broker's. The tests build the
// broker from the parent directory. BROKER_BINARY names a binary to use instead.
package e2e
