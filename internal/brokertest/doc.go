// Package brokertest is the test kit of the broker. It offers
//
//   - a whole broker in this process, on free ports: [Start], [Broker]
//   - the program itself, and any other process: [WithProgram], [StartProcess]
//   - environments that such a broker accepts: [Environ], [EnvironWithoutServers]
//   - upstream servers, usually around a fake eTrusted of package fakeetrusted: [Serve], [HoldRequests]
//   - servers for bytes and frames that no server would send: [ServeRaw], [ServeRawOn], [Reply], [Tunnel], [ServeRawHTTP2]
//   - a DNS server, and a resolver that asks it: [ServeDNS], [ServeDNSAt], [DNSResolver]
//   - a client that keeps no connection: [Get], [GetAsync], [Do]; [ReadResponse] for other clients
//   - a connection for requests that no client would send: [DialRaw], [PlainRequest]
//   - a certificate authority: [NewCA]
//   - a body with gzip: [Gzipped]
//   - systemd's end of the notify socket: [NewSystemd]
//   - the log that the broker writes: [LogBuffer]
//   - eight tests at once: [Main]
//   - waiting with a time limit, instead of sleeping: [Eventually], [Receive], [WaitRecorded]
//
// A helper that takes a test fails the test if it cannot do its work, and cleans up when the test ends.
package brokertest
