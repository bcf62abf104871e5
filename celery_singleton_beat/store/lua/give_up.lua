-- give_up: keep the messages of reclaimed runs no longer: they cannot be published.
-- Twin: MemoryRuns.give_up.
-- KEYS 1 meta, 2 crashable, 3 messages
-- ARGV 6… per run: its id, held until ms
-- Answer: {epoch}
expect({KEYS[2]}, {KEYS[3]})
for i = 6, #ARGV, 2 do
  -- It may have begun since, and count as crashable anew.
  if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '') == tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
end
return cjson.encode({epoch})
