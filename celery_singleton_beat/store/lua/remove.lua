-- remove: remove entries.
-- Twin: MemoryTimetable.remove.
-- ARGV 6 channel, 7 revision that must be there ('' = any), 8 whether only of a source (0/1),
--   9 source, 10… entries
-- Answer: {epoch, verdict …}
local answer, any = {epoch}, false
for i = 10, #ARGV do
  local entry = ARGV[i]
  local text = redis.call('HGET', CARDS, entry)
  local card = read_card(text)
  if not text then
    answer[#answer + 1] = 'MISSING'
  elseif card and ARGV[8] == '1' and card[7] ~= ARGV[9] then
    answer[#answer + 1] = 'FOREIGN'
  elseif card and ARGV[7] ~= '' and tonumber(ARGV[7]) ~= card[1] then
    answer[#answer + 1] = 'CONFLICT'
  else
    answer[#answer + 1] = 'REMOVED'
    any = true
    redis.call('HDEL', CARDS, entry)
    redis.call('HDEL', STORED, entry)
    if card then
      redis.call('ZREM', OF .. card[6], entry)
      if card[7] ~= '' then redis.call('ZREM', SOURCE .. card[7], entry) end
      tenant_of(card[6])[1] = tenant_of(card[6])[1] - 1
      save_tenant(card[6])
      touched[card[6]] = true
    end
  end
end
give_turns()
if any then changed(ARGV[6]) end
return cjson.encode(answer)
