package soak

import (
	"bytes"
	"net/http"
	"strconv"
)

// Outcomes of requests, besides those with a status, such as "503 of the API".
const (
	succeeded     = "success"
	noResponse    = "no response"
	brokenOff     = "body broken off"
	wrongResponse = "response to another request"
	notSent       = "not sent, because too many were in flight"
)

// outcome classifies a response, of which a part may have arrived. want is a text that only the response to this request
// contains.
func outcome(response *http.Response, body []byte, err error, want string) string {
	switch {
	case response == nil:
		return noResponse
	case response.Header.Get("Proxy-Status") != "":
		return strconv.Itoa(response.StatusCode) + " of the broker"
	case response.StatusCode/100 != 2:
		return strconv.Itoa(response.StatusCode) + " of the API"
	case err != nil:
		return brokenOff
	case !bytes.Contains(body, []byte(want)):
		return wrongResponse
	}
	return succeeded
}
