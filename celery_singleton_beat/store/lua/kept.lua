-- kept: read entries.
-- ARGV 6… entries
-- Answer: {epoch, card or '', slot or '', card …}
local answer = {epoch}
for i = 6, #ARGV do
  local card, slot = redis.call('HGET', CARDS, ARGV[i]), redis.call('HGET', STORED, ARGV[i])
  local is_whole = read_card(card) and read_slot(slot)
  answer[#answer + 1] = is_whole and card or ''
  answer[#answer + 1] = is_whole and slot or ''
end
return cjson.encode(answer)
