package main

import "etrusted-broker/proxy/localca"

// openCA opens the broker's own CA, or creates it. It returns nil if none is configured.
func openCA(c config) (*localca.CA, error) {
	if c.InterceptCADir == "" {
		return nil, nil
	}
	return localca.Open(c.InterceptCADir, []string{c.upstream.Host, c.loginHost()})
}
