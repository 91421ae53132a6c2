-- Returns the token if it is newer than the one had and lives longer. Else the lease, if one is wanted and it is free.
-- KEYS: the token, the lease.
-- ARGV: the fence of the token had; for how many milliseconds that still lives; for how many the lease is wanted, 0: it is not.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local stored = redis.call('HMGET', KEYS[1], 'fence', 'token')
local fence, token = math.floor(tonumber(stored[1] or 0) or 0), stored[2]
-- None of ours is a day ahead, not a number, or that long: else it would be in the way for ever.
if not (fence >= 0 and fence < now + 86400000000) or #(token or '') > 500000 then
  fence, token = 0, false
end
local left = math.min(redis.call('PTTL', KEYS[1]), 172800000) -- two days: more than any token lives
if token and fence > tonumber(ARGV[1]) and left > tonumber(ARGV[2]) then
  return {'token', string.format('%.0f', fence), token, left}
end
if ARGV[3] == '0' then
  return {'nothing'}
end
-- The clock of the store orders who was told to fetch, even if all else was lost. It may have been set back.
now = string.format('%.0f', math.max(now, fence + 1))
local lease = redis.call('GET', KEYS[2])
local lasts = redis.call('PTTL', KEYS[2])
if lease and #lease < 500000 and lasts >= 0 and lasts < 3600000 then -- one without an end, or for hours, is none of ours
  return {'taken', now, lease, lasts}
end
redis.call('SET', KEYS[2], 'held:' .. now, 'PX', ARGV[3])
return {'lease', now}
