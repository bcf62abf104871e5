-- rerun: keep the messages of reclaimed runs no longer: they were published again.
-- Twin: MemoryRuns.rerun.
-- KEYS 1 meta, 2 crashable, 3 messages, 4 history
-- ARGV 6 history limits, 7 who published them ('' = they cannot be), then per run: its id, held until ms
-- Answer: {epoch}
expect({KEYS[2]}, {KEYS[3]})
for i = 8, #ARGV, 2 do
  local until_ms = redis.call('ZSCORE', KEYS[2], ARGV[i])
  -- It may have begun since, and count as crashable anew.
  if tonumber(until_ms) == tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
  if until_ms and ARGV[7] ~= '' then
    tell(KEYS[4], ARGV[6], 'rerun', '', '0', ARGV[i], '0', ARGV[7], '')
  end
end
return cjson.encode({epoch})
