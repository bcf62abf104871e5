-- locks: read locks.
-- Twin: MemoryRuns.locks.
-- KEYS 1 meta, 2… lock
-- Answer: {epoch, now, born ms if it has forgotten (or 0), record or '' …}
local answer = {epoch, int(now), meta[5] == '1' and meta[4] or '0'}
-- By parts: a call carries only so many.
for from = 2, #KEYS, 1000 do
  local to = math.min(from + 999, #KEYS)
  for i, text in ipairs(redis.call('MGET', unpack(KEYS, from, to))) do
    answer[from + i + 1] = lock_of(text) and text or ''
  end
end
return cjson.encode(answer)
