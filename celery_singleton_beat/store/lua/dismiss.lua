-- dismiss: wait no longer for runs to begin.
-- Twin: MemorySlots.dismiss.
-- KEYS 1 meta, 2 awaited, 3 published, 4 history
-- ARGV 6 who published them again ('' = nobody did), 7 history limits, 8… runs
-- Answer: {epoch}
expect({KEYS[2]}, {KEYS[3]})
if ARGV[6] ~= '' then
  for i = 8, #ARGV do
    local fields = split(redis.call('HGET', KEYS[3], ARGV[i]), 5)
    if fields then
      tell(KEYS[4], ARGV[7], 'published_again', fields[5], fields[1], ARGV[i], '0', ARGV[6], '')
    end
  end
end
redis.call('ZREM', KEYS[2], unpack(ARGV, 8))
redis.call('HDEL', KEYS[3], unpack(ARGV, 8))
return cjson.encode({epoch})
