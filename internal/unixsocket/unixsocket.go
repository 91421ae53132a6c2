// Package unixsocket listens on Unix sockets in the file system. Only the owner and the group can connect.
package unixsocket

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// socketMode is that of the socket. Write permission is needed to connect: the owner and the group have it.
const socketMode = 0o660

// Listen listens on a Unix socket at path, which must be absolute, in a directory that must exist and be writable. Its mode is 0660,
// whatever the umask. On Linux it is never wider; elsewhere it is 0777 less the umask until it has been set. Closing the listener
// removes the file. Errors begin with the address, as in "unix:///run/broker.sock is …", and say what to do.
//
// Listen replaces a socket that no program listens on. It returns an error if a program does, if that cannot be determined, or if path
// is something else, such as a symbolic link. It is not safe to start two brokers on one path at the same time: the second may replace
// the socket of the first.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := validatePath(path); err != nil {
		return nil, err
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: chmodBeforeBind}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, listenError(path, err)
	}
	if err := chmodAndVerify(path); err != nil {
		_ = l.Close() // no connection was accepted yet
		return nil, err
	}
	return l, nil
}

// chmodAndVerify adds the permissions that the umask removed, and verifies the result: some file systems refuse every
// mode, others accept it and keep their own.
func chmodAndVerify(path string) error {
	if dir, err := os.OpenRoot(filepath.Dir(path)); err == nil {
		// Not os.Chmod: an app that may write to the directory could put a symbolic link here, and os.Chmod would make
		// the file with the secret readable for the group.
		_ = dir.Chmod(filepath.Base(path), socketMode) // verified below
		_ = dir.Close()
	}
	file, err := os.Lstat(path)
	switch {
	case err != nil || file.Mode().Type() != fs.ModeSocket:
		return pathError(path, "was removed or replaced by another program: set a path in a directory where no other user can write")
	case file.Mode().Perm() != socketMode:
		return pathError(path, "has mode %#o, and its file system does not permit 0660: set a path on a local file system", file.Mode().Perm())
	}
	return nil
}
