package redisstore

import (
	_ "embed" // of the scripts

	"github.com/redis/go-redis/v9"
)

// What must happen at once, or not at all, happens in scripts, which the store runs one after the other. Their keys bear
// the same name in braces, so that a Cluster keeps them in one place.
var (
	//go:embed take.lua
	takeText string
	//go:embed put.lua
	putText string
	//go:embed release.lua
	releaseText string

	takeScript    = redis.NewScript(takeText)
	putScript     = redis.NewScript(putText)
	releaseScript = redis.NewScript(releaseText)
)
