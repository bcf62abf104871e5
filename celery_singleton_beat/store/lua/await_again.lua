-- await_again: runs were published again; wait for each of them twice as long as before.
-- Twin: protocol/awaited.again, driven by MemorySlots.await_again.
-- KEYS 1 meta, 2 awaited, 3 published, 4 history
-- ARGV 6 who published them, 7 history limits, 8… runs
-- Answer: {epoch}
local DAY = 86400000
expect({KEYS[2]}, {KEYS[3]})
for i = 8, #ARGV do
  local run = ARGV[i]
  local fields = split(redis.call('HGET', KEYS[3], run), 7)
  fields = fields and all_numbers(fields, 1, 6)
  -- What is not there has begun meanwhile.
  if fields then
    local scheduled, deadline, entry = int(fields[1]), 2 * fields[2], fields[7]
    if deadline <= DAY then
      redis.call('HSET', KEYS[3], run,
                 join(scheduled, int(deadline), int(fields[3]), int(fields[4]), '0', int(fields[6]), entry))
      redis.call('ZADD', KEYS[2], int(now + deadline), run)
    else
      redis.call('ZREM', KEYS[2], run)
      redis.call('HDEL', KEYS[3], run)
    end
    tell(KEYS[4], ARGV[7], 'published_again', entry, scheduled, run, '0', ARGV[6], '')
  end
end
return cjson.encode({epoch})
