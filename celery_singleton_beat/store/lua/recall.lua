-- recall: take overdue awaited occurrences, to be published again; none while all is paused.
-- Twin: protocol/awaited.is_lost, driven by MemoryStore.recall.
-- KEYS 1 meta, 2 awaited, 3 published, 4 progress
-- ARGV 6 limit, 7 hold ms
-- Answer: {epoch, run, "scheduled|deadline|window|previous|failures|revision|entry", run, …}
expect({KEYS[2]}, {KEYS[3], KEYS[4]})
local answer = {epoch}
if redis.call('HGET', KEYS[1], 'paused') == '1' then return cjson.encode(answer) end
local runs = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[6]))
for _, run in ipairs(runs) do
  local text = redis.call('HGET', KEYS[3], run)
  local fields = split(text, 7)
  fields = fields and all_numbers(fields, 1, 6)
  if not fields then
    redis.call('ZREM', KEYS[2], run)
    redis.call('HDEL', KEYS[3], run)
  else
    local begun = whole(redis.call('HGET', KEYS[4], 'b:' .. fields[7])) or 0
    local latest = whole(redis.call('HGET', KEYS[4], 'p:' .. fields[7])) or 0
    if begun > fields[1] or latest <= fields[1] then
      redis.call('ZADD', KEYS[2], int(now + tonumber(ARGV[7])), run)
      answer[#answer + 1] = run
      answer[#answer + 1] = text
    else
      redis.call('ZADD', KEYS[2], int(now + fields[2]), run)
    end
  end
end
return cjson.encode(answer)
