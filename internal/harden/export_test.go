package harden

// CgroupLimit is cgroupLimit.
var CgroupLimit = cgroupLimit

// Unlimited is what CgroupLimit returns without a limit.
const Unlimited = noMemoryLimit
