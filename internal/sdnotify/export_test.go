package sdnotify

// MaxStatus is the maximum length of a status.
const MaxStatus = maxStatusBytes
