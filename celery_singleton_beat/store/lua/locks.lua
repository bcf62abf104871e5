-- locks: read locks.
-- Twin: MemoryRuns.locks.
-- KEYS 1 meta, 2… lock
-- Answer: {epoch, now, record or '' …}
local answer = {epoch, int(now)}
for i = 2, #KEYS do
  local lock = read_lock(KEYS[i])
  answer[i + 1] = lock and redis.call('GET', KEYS[i]) or ''
end
return cjson.encode(answer)
