-- adopt: plan entries of the governing configuration, by compare-and-set.
-- Twin: protocol/claim.adopt.
-- KEYS 1 meta, 2 due, 3 held, 4 slots
-- ARGV 6 digest, 7 done (0/1), 8 count, then per entry: name, the record that was
--   read ('' = none), slot ms, due ms, failures, runs, last ms, rule
-- Answer: {epoch, verdict …}
local digest, done, count = ARGV[6], ARGV[7], tonumber(ARGV[8])
local answer = {epoch}
if redis.call('HGET', KEYS[1], 'governor') ~= digest then
  for i = 1, count do answer[i + 1] = 'CHANGED' end
  return answer
end
for i = 1, count do
  local at = 1 + 8 * i
  local name, seen, due = ARGV[at], ARGV[at + 1], ARGV[at + 3]
  local text = redis.call('HGET', KEYS[4], name) or ''
  local slot = split(text, 8)
  if text ~= seen then
    answer[i + 1] = 'CHANGED'
  elseif slot and tonumber(slot[4]) > now then
    answer[i + 1] = 'HELD'
  else
    answer[i + 1] = 'ADOPTED'
    redis.call('HSET', KEYS[4], name,
               join(ARGV[at + 2], due, slot and slot[3] or '0', '0', ARGV[at + 4],
                    ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]))
    redis.call('ZREM', KEYS[3], name)
    if due == '-1' then redis.call('ZREM', KEYS[2], name)
    else redis.call('ZADD', KEYS[2], due, name) end
  end
end
if done == '1' then redis.call('HSET', KEYS[1], 'adopted', digest) end
return answer
