package sdnotify

// MaxStatus is where a status is cut.
const MaxStatus = maxStatus
