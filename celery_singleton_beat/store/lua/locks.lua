-- locks: read locks.
-- Twin: MemoryRuns.locks.
-- KEYS 1 meta, 2… lock
-- Answer: {epoch, now, born ms if it has forgotten (or 0), record or '' …}
get = redis.pcall
local answer = {epoch, int(now), meta[5] == '1' and meta[4] or '0'}
for i = 2, #KEYS do
  local lock = read_lock(KEYS[i])
  answer[i + 2] = lock and redis.call('GET', KEYS[i]) or ''
end
return cjson.encode(answer)
