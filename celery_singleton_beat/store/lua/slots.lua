-- slots: read slots; set aside what cannot be read, or only tell of it.
-- Twin: MemoryStore.slots.
-- KEYS 1 meta, 2 due, 3 held, 4 slots, 5 aside
-- ARGV 6 whether to set aside (0/1), 7… entries
-- Answer: {epoch, record or '' …}; a record that cannot be read answers 'ASIDE'
expect({KEYS[2], KEYS[3]}, {KEYS[4], KEYS[5]})
local answer = {epoch}
if #ARGV == 6 then return cjson.encode(answer) end
local texts = redis.call('HMGET', KEYS[4], unpack(ARGV, 7))
for i = 1, #ARGV - 6 do
  local text, name = texts[i], ARGV[i + 6]
  local slot = split(text, 8)
  if not text then
    answer[i + 1] = ''
  elseif slot and all_numbers(slot, 1, 7) then
    answer[i + 1] = text
  else
    if ARGV[6] == '1' then
      redis.call('HSET', KEYS[5], name, text)
      redis.call('HDEL', KEYS[4], name)
      redis.call('ZREM', KEYS[2], name)
      redis.call('ZREM', KEYS[3], name)
    end
    answer[i + 1] = 'ASIDE'
  end
end
return cjson.encode(answer)
