package process

// CgroupLimit is cgroupLimit.
var CgroupLimit = cgroupLimit
