package http1_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"etrusted-broker/proxy/http1"
)

// greeter is a Handler without the rest of a gateway.
type greeter struct{}

func (greeter) ServeHTTP1(w *http1.ResponseWriter, r *http1.Request) {
	if r.Malformed != nil {
		w.WriteHead(r.Malformed.Status, http.StatusText(r.Malformed.Status), 0)
		return
	}
	const greeting = "hello from "
	w.Fields.Add("Content-Type", "text/plain")
	w.WriteHead(http.StatusOK, "Fine", int64(len(greeting+r.Target)))
	_, _ = io.WriteString(w, greeting+r.Target) // a client that has gone needs no response
}

func ExampleServer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http1.Server{Handler: greeter{}, MaxConns: 100, HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()

	response, err := http.Get("http://" + listener.Addr().String() + "/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	fmt.Println(response.Status, string(text))

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(server.Shutdown(ctx))
	fmt.Println(<-ended)
	// Output:
	// 200 Fine hello from /shop
	// <nil>
	// http1: the server is closed: use of closed network connection
}

// background is a Caller that never goes away.
type background struct{}

func (background) Context() context.Context        { return context.Background() }
func (background) CancelWhenGone(_ http1.Canceler) {}

func ExampleClient() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http1.Server{Handler: greeter{}, HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	client := &http1.Client{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", listener.Addr().String())
		},
		ResponseTimeout: 10 * time.Second,
	}
	defer client.CloseIdle()
	response, err := client.RoundTrip(&http1.ClientRequest{
		Method: "GET", Target: "/reviews?count=1", Fields: http1.Fields{{Name: "Host", Value: "api.example"}}, Repeatable: true, Caller: background{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, response.Reason, string(text), err)
	_ = response.Body.Close() // response must not be used any more
	// Output: 200 Fine hello from /reviews?count=1 <nil>
}
