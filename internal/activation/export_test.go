package activation

// ListenersFrom is Listeners for descriptors that begin at another number: those from 3 on are the tests' own.
var ListenersFrom = listeners
