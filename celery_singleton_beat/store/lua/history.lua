-- history: read the last facts, the newest first.
-- Twin: MemoryRuns.history.
-- KEYS 1 meta, 2 history
-- ARGV 6 limit
-- Answer: {epoch, fact …}
local answer = {epoch}
-- Asked for none, Redis answers with no list at all.
local items = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', tonumber(ARGV[6])) or {}
for i, item in ipairs(items) do
  answer[i + 1] = item[2][2]
end
return cjson.encode(answer)
