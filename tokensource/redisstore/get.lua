-- Returns what is stored, and the next fencing token. The store's clock makes it grow even after all data was lost; the
-- stored token does after the clock was set back. A broker's is never a day ahead, and no value of a broker is that long.
-- KEYS: the token, the lease.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local fence = math.floor(tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) or 0)
local token = redis.call('HGET', KEYS[1], 'token')
if not (fence >= 0 and fence < now + 86400000000) then
  fence = 0
end
if not token or #token > 65536 then
  token = ''
end
return {string.format('%.0f', math.max(now, fence + 1)), string.format('%.0f', fence), token, tostring(redis.call('PTTL', KEYS[1])),
  redis.call('GETRANGE', KEYS[2], 0, 9999), tostring(redis.call('PTTL', KEYS[2]))}
