-- lock_names: name keys that are locked, those whose leases end last first.
-- Twin: MemoryRuns.lock_names.
-- KEYS 1 meta, 2 locks
-- ARGV 6 limit
-- Answer: {epoch, name …}
local answer = {epoch}
local names = redis.call('ZREVRANGEBYSCORE', KEYS[2], '+inf', '(' .. int(now), 'LIMIT', 0,
                         tonumber(ARGV[6]))
-- Not by unpack: there may be more of them than it can carry.
for i, name in ipairs(names) do answer[i + 1] = name end
return cjson.encode(answer)
