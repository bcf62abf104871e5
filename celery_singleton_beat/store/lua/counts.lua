-- counts: read what was counted of subjects.
-- Twin: MemoryObserved.counts.
-- KEYS 1 meta, 2… counts
-- Answer: {epoch, {name, number …} or '' …}
local answer = {epoch}
for i = 2, #KEYS do
  local fields = redis.call('HGETALL', KEYS[i])
  -- An empty table would be written as an object.
  answer[i] = #fields > 0 and fields or ''
end
return cjson.encode(answer)
