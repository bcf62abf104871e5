-- rerun: reclaimed runs were published again, or may have been; look at them again unless they begin.
-- Twin: protocol/kept_message.again, driven by MemoryRuns.rerun.
-- KEYS 1 meta, 2 crashable, 3 messages, 4 history
-- ARGV 6 history limits, 7 who published them ('' = it is not known whether they were), then per
--   run: its id, held until ms, deadline ms
-- Answer: {epoch}
expect({KEYS[2]}, {KEYS[3]})
for i = 8, #ARGV, 3 do
  local run, until_ms = ARGV[i], tonumber(ARGV[i + 1])
  local score = tonumber(redis.call('ZSCORE', KEYS[2], run) or '')
  local kept = score and split(redis.call('HGET', KEYS[3], run), 3)
  kept = kept and all_numbers(kept, 1, 2)
  if kept then
    local deadline, longest = kept[1], kept[2]
    -- It may have begun since, and count as crashable anew.
    if score == until_ms then
      if deadline <= longest then
        redis.call('ZADD', KEYS[2], int(now + deadline), run)
        redis.call('HSET', KEYS[3], run, join(int(2 * deadline), int(longest), kept[3]))
      else
        redis.call('ZREM', KEYS[2], run)
        redis.call('HDEL', KEYS[3], run)
      end
    end
    if ARGV[7] ~= '' and deadline <= tonumber(ARGV[i + 2]) then
      tell(KEYS[4], ARGV[6], 'rerun', '', '0', run, '0', ARGV[7], '')
    end
  end
end
return cjson.encode({epoch})
