-- slots: read slots; set aside what cannot be read.
-- Twin: MemoryStore.slots.
-- KEYS 1 meta, 2 due, 3 held, 4 slots, 5 aside
-- ARGV 6… entries
-- Answer: {epoch, record or '' …}; a record that was set aside answers 'ASIDE'
expect({KEYS[2], KEYS[3]}, {KEYS[4], KEYS[5]})
local answer = {epoch}
if #ARGV == 5 then return cjson.encode(answer) end
local texts = redis.call('HMGET', KEYS[4], unpack(ARGV, 6))
for i = 1, #ARGV - 5 do
  local text, name = texts[i], ARGV[i + 5]
  local slot = split(text, 8)
  if not text then
    answer[i + 1] = ''
  elseif slot and all_numbers(slot, 1, 7) then
    answer[i + 1] = text
  else
    -- It stays due: whoever reads may only look, and a beat that finds no slot plans it anew.
    redis.call('HSET', KEYS[5], name, text)
    redis.call('HDEL', KEYS[4], name)
    answer[i + 1] = 'ASIDE'
  end
end
return cjson.encode(answer)
