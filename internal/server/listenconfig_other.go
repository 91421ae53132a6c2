//go:build !linux

package server

import "net"

// tcpListenConfig lets package net enable TCP keep-alive on each accepted connection.
var tcpListenConfig = new(net.ListenConfig)
