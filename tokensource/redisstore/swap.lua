-- Replaces the lease if it has not changed. Its value contains the fencing token, so this compares fencing tokens.
-- KEYS: the lease. ARGV: the expected value, '' for none; the new value; its milliseconds, 0 for none.
if redis.call('GETRANGE', KEYS[1], 0, 9999) ~= ARGV[1] then
  return {'0'}
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return {'1'}
