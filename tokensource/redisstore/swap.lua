-- Replaces the lease if it has not changed, or is the new one already: a client that misses the reply sends its request again.
-- KEYS: the lease. ARGV: the expected value, '' for none; the new value; its milliseconds, 0 for none.
local lease = redis.call('GETRANGE', KEYS[1], 0, 9999)
if lease ~= ARGV[1] and lease ~= ARGV[2] then
  return {'0'}
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return {'1'}
