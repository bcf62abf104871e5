-- cancel: refuse what was queued by earlier revisions of an entry.
-- KEYS 1 meta, 2 cancelled
-- ARGV 6 revision, 7 for how long (ms)
-- Answer: {epoch}
local least = math.max(counter(redis.call('GET', KEYS[2])), tonumber(ARGV[6]))
redis.call('SET', KEYS[2], int(least), 'PX', ARGV[7])
return cjson.encode({epoch})
