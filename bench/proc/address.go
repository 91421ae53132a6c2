package proc

import "net"

// FreeAddresses returns loopback addresses on which nothing listens. Another program may take one before the program that needs it
// does. That program then fails to start, and its output says why.
func FreeAddresses(count int) ([]string, error) {
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // when all are known, so that they differ
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
