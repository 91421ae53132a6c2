package proxy

import (
	"io"
	"net/http"
	"time"

	"etrusted-broker/proxy/wire"
)

// connect opens a tunnel, or says why not.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request, report *Report) {
	if refusal := p.config.Door.CheckConnect(r); refusal != nil {
		refused(refusal).answer(w, report)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		clientGone.answer(w, report)
		return
	}
	report.Status = http.StatusOK
	_ = conn.SetDeadline(time.Time{}) // the header's was for the header
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	p.config.Tunnel(wire.Tunnel(conn), r.RequestURI)
}
