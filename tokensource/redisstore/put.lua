-- Stores a token unless there is a newer one, and notifies the brokers. Releases the lease if it is still held.
-- KEYS: the token, the lease. ARGV: its fencing token; the token; when it expires, in milliseconds of the store's clock; the
-- held lease; the channel; the message.
if redis.call('GETRANGE', KEYS[2], 0, 9999) == ARGV[4] then
  redis.call('DEL', KEYS[2])
end
local clock = redis.call('TIME')
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) or 0
if fence > tonumber(ARGV[1]) and fence < (clock[1] + 86400) * 1000000 then -- no broker's is a day ahead
  return {'0'}
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'token', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return {'1'}
