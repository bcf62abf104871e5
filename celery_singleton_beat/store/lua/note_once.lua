-- note_once: what became of occurrences of an entry that are delivered at most once.
-- Twin: MemorySettling.note_once.
-- KEYS 1 meta, 2 history, 3 queued
-- ARGV 6 history limits, 7 entry, 8 runs that were surely not sent ('' = none), then per
--   occurrence: kind, scheduled ms, run, by, note
-- Answer: {epoch}
expect({KEYS[3]}, {})
if ARGV[8] ~= '' then redis.call('ZREM', KEYS[3], unpack(ARGV[8])) end
for i = 9, #ARGV, 5 do
  tell(KEYS[2], ARGV[6], ARGV[i], ARGV[7], ARGV[i + 1], ARGV[i + 2], '0', ARGV[i + 3], ARGV[i + 4])
end
return cjson.encode({epoch})
