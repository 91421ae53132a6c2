package harden

// CgroupMemoryLimit is cgroupMemoryLimit.
var CgroupMemoryLimit = cgroupMemoryLimit

// Unlimited is what CgroupMemoryLimit returns without a limit.
const Unlimited = noMemoryLimit
