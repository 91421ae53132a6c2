//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package unixsocket

import "os"

func tryLock(*os.File) outcome { return unsupported }
