-- dismiss: wait no longer for runs to begin.
-- Twin: MemorySlots.dismiss.
-- KEYS 1 meta, 2 awaited, 3 published
-- ARGV 6… runs
-- Answer: {epoch}
expect({KEYS[2]}, {KEYS[3]})
redis.call('ZREM', KEYS[2], unpack(ARGV, 6))
redis.call('HDEL', KEYS[3], unpack(ARGV, 6))
return cjson.encode({epoch})
