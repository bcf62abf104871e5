-- reclaim: take runs whose worker died, to publish their messages again; none while all is
-- paused.
-- Twin: MemoryRuns.reclaim.
-- KEYS 1 meta, 2 crashable, 3 messages
-- ARGV 6 limit, 7 hold ms
-- Answer: {epoch, run, message, held until ms, deadline ms, run, …}
expect({KEYS[2]}, {KEYS[3]})
local answer = {epoch}
if redis.call('HGET', KEYS[1], 'paused') == '1' then return cjson.encode(answer) end
local until_ms = int(now + tonumber(ARGV[7]))
for _, run in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(now), 'LIMIT', 0,
                                tonumber(ARGV[6]))) do
  local kept = split(redis.call('HGET', KEYS[3], run), 3)
  kept = kept and all_numbers(kept, 1, 2)
  if kept then
    redis.call('ZADD', KEYS[2], until_ms, run)
    answer[#answer + 1] = run
    answer[#answer + 1] = kept[3]
    answer[#answer + 1] = until_ms
    answer[#answer + 1] = int(kept[1])
  else
    redis.call('ZREM', KEYS[2], run)
    redis.call('HDEL', KEYS[3], run)
  end
end
return cjson.encode(answer)
