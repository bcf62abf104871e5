-- remove: remove entries.
-- Twin: MemoryTimetable.remove.
-- ARGV 6 channel, 7 revision that must be there ('' = any), 8 whether only of a source (0/1),
--   9 source, 10 history limits, 11… entries
-- Answer: {epoch, verdict …}
local answer, any = {epoch}, false

local function is_of_another_source(card)
  return card and ARGV[8] == '1' and card[7] ~= ARGV[9]
end

local function erase(entry, text, card)
  redis.call('HDEL', CARDS, entry)
  redis.call('HDEL', STORED, entry)
  drop_all_of(entry, ARGV[10])
  if not card then return redis.call('HSET', ASIDE, entry, text) end
  index_of_tenant(card[6], 'ZREM', entry)
  if card[7] ~= '' then redis.pcall('ZREM', SOURCE .. card[7], entry) end
  tenant_of(card[6])[1] = tenant_of(card[6])[1] - 1
  save_tenant(card[6])
  touched[card[6]] = true
end

for i = 11, #ARGV do
  local entry, verdict = ARGV[i], 'REMOVED'
  local text = redis.call('HGET', CARDS, entry)
  local card = read_card(text)
  if not text then verdict = 'MISSING'
  elseif is_of_another_source(card) then verdict = 'FOREIGN'
  elseif ARGV[7] ~= '' and (not card or tonumber(ARGV[7]) ~= card[1]) then verdict = 'CONFLICT'
  else
    erase(entry, text, card)
    any = true
  end
  -- Whatever became of it: what is not of this source is not to be named as its own again.
  if ARGV[8] == '1' and verdict ~= 'CONFLICT' then redis.pcall('ZREM', SOURCE .. ARGV[9], entry) end
  answer[#answer + 1] = verdict
end
give_turns()
if any then changed(ARGV[6]) end
return cjson.encode(answer)
