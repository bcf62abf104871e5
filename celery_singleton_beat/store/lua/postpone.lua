-- postpone: runs were not published again; wait on for them, or give them up.
-- Twin: MemorySlots.postpone.
-- KEYS 1 meta, 2 awaited, 3 published, 4 history
-- ARGV 6 who tried, 7 history limits, then per run: its id, for how long ms (-1 = it is given up),
--   how often it has failed (0 = it has not), error
-- Answer: {epoch}
expect({KEYS[2]}, {KEYS[3]})
for i = 8, #ARGV, 4 do
  local run, wait, attempt = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local fields = split(redis.call('HGET', KEYS[3], run), 7)
  fields = fields and all_numbers(fields, 1, 6)
  -- What is not there has begun meanwhile.
  if fields and (attempt == 0 or attempt == fields[5] + 1) then
    local scheduled, entry = int(fields[1]), fields[7]
    if wait == -1 then
      redis.call('ZREM', KEYS[2], run)
      redis.call('HDEL', KEYS[3], run)
    else
      redis.call('ZADD', KEYS[2], int(now + wait), run)
      redis.call('HSET', KEYS[3], run,
                 join(scheduled, int(fields[2]), int(fields[3]), int(fields[4]),
                      int(math.max(attempt, fields[5])), int(fields[6]), entry))
    end
    if attempt > 0 then
      tell(KEYS[4], ARGV[7], 'dispatch_failed', entry, scheduled, run, '0', ARGV[6], ARGV[i + 3])
    end
  end
end
return cjson.encode({epoch})
