-- pause: stop entries, or let them go on.
-- Twin: protocol/stored.pause.
-- ARGV 6 channel, 7 paused (0/1), 8 by, 9 note, 10… entries
-- Answer: {epoch, verdict …}
local paused, answer, any = tonumber(ARGV[7]), {epoch}, false
for i = 10, #ARGV do
  local entry = ARGV[i]
  local card = read_card(redis.call('HGET', CARDS, entry))
  if not card then
    answer[#answer + 1] = 'MISSING'
  elseif card[5] == paused then
    answer[#answer + 1] = 'UNCHANGED'
  else
    answer[#answer + 1] = 'CHANGED'
    any = true
    card[1], card[5], card[8] = next_revision(), paused, ARGV[8]
    card[9] = paused == 1 and ARGV[9] or ''
    if paused == 0 then card[3] = now end
    redis.call('HSET', CARDS, entry, card_text(card))
    look_at(entry, card, (slot_of(entry, redis.call('HGET', STORED, entry))))
  end
end
give_turns()
if any then changed(ARGV[6]) end
return cjson.encode(answer)
