package proxy

import (
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

// relay forwards a response of the API to the app as it arrives.
func (x *exchange) relay(response *http1.ClientResponse) {
	if x.body.unfinished() {
		x.w.Close = true // what the app still sends is not a request
	}
	x.record.Status = response.Status
	how := x.links.rewritingOf(x.r.Method, response)
	down := downstream{parseConnection(response.Fields), how != unchanged}
	x.w.Fields = x.w.Fields[:0]
	for _, field := range response.Fields {
		if equalFold(field.Name, "Trailer") && response.ContentLength < 0 && x.r.MinorVersion > 0 {
			field.Value = announcement(field.Value, down.allowsTrailer)
			if field.Value != "" {
				x.w.Fields = append(x.w.Fields, field)
			}
		} else if forwardedDownstream(field.Name, field.Value, down.drop) {
			x.w.Fields = append(x.w.Fields, field)
		}
	}
	if x.links.active {
		x.links.rewriteFields(x.w.Fields)
	}
	if how != unchanged {
		x.relayRewritten(response, how, down)
		return
	}
	x.w.WriteHead(response.Status, response.Reason, response.ContentLength)
	n, err := x.w.ReadFrom(response.Body)
	x.finish(n, err, response.Body, down)
}

// finish ends a response. If the body broke off, the app's connection is aborted, since a clean end would make a partial
// response look complete.
func (x *exchange) finish(n int64, err error, body http1.ResponseBody, down downstream) {
	x.record.Bytes += n
	if err != nil {
		x.record.Broken = true
		_ = x.w.Flush() // what arrived before the fault
		x.w.Abort()
		return
	}
	var trailer http1.Fields
	for _, field := range body.Trailer() {
		if down.allowsTrailer(field.Name) && forwardedDownstream(field.Name, field.Value, down.drop) {
			trailer = append(trailer, field)
		}
	}
	if trailer != nil {
		x.w.Trailer(trailer)
	}
}

// downstream decides which fields of a response are forwarded.
type downstream struct {
	drop      connectionOptions
	rewritten bool // digests are not true any more
}

func (d downstream) allowsTrailer(name string) bool {
	return allowedInTrailer(name) && forwardedDownstream(name, "", d.drop) && !(d.rewritten && linkrewrite.IsDigest(name))
}
