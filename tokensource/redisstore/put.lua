-- Gives the lease back, if it is still held; leaves a token for all, unless there is a newer one; and tells them.
-- KEYS: the token, the lease.
-- ARGV: the token's fence; the token; when it ends, in milliseconds of the store's clock; where to tell.
if redis.call('GET', KEYS[2]) == 'held:' .. ARGV[1] then
  redis.call('DEL', KEYS[2])
end
local clock = redis.call('TIME')
local stored = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) or 0
-- A day ahead is none of ours: see take.lua.
if stored > tonumber(ARGV[1]) and stored < (tonumber(clock[1]) + 86400) * 1000000 then
  return 0
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'token', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], '')
return 1
