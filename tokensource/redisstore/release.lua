-- Gives the lease back, if it is still held: to nobody for as long as the pause lasts, in which all can read why.
-- KEYS: the lease.
-- ARGV: its fence; why there is no token; the milliseconds of the pause, 0: there is none.
if redis.call('GET', KEYS[1]) ~= 'held:' .. ARGV[1] then
  return 0
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], 'failed:' .. ARGV[2], 'PX', ARGV[3])
end
return 1
