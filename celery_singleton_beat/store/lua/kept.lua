-- kept: read entries.
-- ARGV 6… entries
-- Answer: {epoch, card or '', slot or '', card …}
local answer = {epoch}
for i = 6, #ARGV do
  local card, slot = redis.call('HGET', CARDS, ARGV[i]), redis.call('HGET', STORED, ARGV[i])
  local is_there = read_card(card)
  -- A slot that is gone is planned anew by who looks at it next.
  if not read_slot(slot) then slot = slot_text({-1, now, 0, 0, 0, 0, now, ''}) end
  answer[#answer + 1] = is_there and card or ''
  answer[#answer + 1] = is_there and slot or ''
end
return cjson.encode(answer)
