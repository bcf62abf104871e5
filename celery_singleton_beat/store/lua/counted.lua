-- counted: name subjects that are counted, those first to which something happened last.
-- Twin: MemoryObserved.counted.
-- KEYS 1 meta, 2 counted
-- ARGV 6 limit
-- Answer: {epoch, subject …}
local answer = {epoch}
local names = redis.call('ZREVRANGEBYSCORE', KEYS[2], '+inf', '-inf', 'LIMIT', 0,
                         tonumber(ARGV[6]))
for i, name in ipairs(names) do answer[i + 1] = name end
return cjson.encode(answer)
