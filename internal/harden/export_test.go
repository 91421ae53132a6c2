package harden

// CgroupLimit is cgroupLimit.
var CgroupLimit = cgroupLimit
