package access

import "net/http"

// certificateRefused closes the connection: a client can present another certificate only on another connection.
var certificateRefused = &Refusal{
	Reason: ReasonCertificate,
	Status: http.StatusForbidden,
	What:   "the client certificate of this connection has expired, or its authority is no longer trusted",
	Advice: "Open another connection, with a valid certificate of an authority in BROKER_TLS_CLIENT_CA_FILE.",
	Header: http.Header{"Connection": {"close"}},
}

// distrustsClient reports whether a request came over a connection whose client certificate is no longer trusted.
func (d *Policy) distrustsClient(r *http.Request) bool {
	return d.config.ClientTrusted != nil && !d.config.ClientTrusted(r.Context())
}
