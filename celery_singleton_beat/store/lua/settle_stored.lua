-- settle_stored: end holds on stored entries; each by the fence that took it.
-- Twin: protocol/stored.settle_stored.
-- KEYS 9 awaited, 10 published, 11 progress, 12 history, 13 queued, 14… run of
--   everything awaited
-- ARGV 6 settlements, each {entry, fence, slot ms, due ms, "failures|runs|last ms|rule",
--   awaited, told, revision, queued}, as for settle; 7 history limit
-- Answer: {epoch, verdict …}
expect({KEYS[9], KEYS[13]}, {KEYS[10], KEYS[11]})
local answer = {epoch}

for i, told in ipairs(ARGV[6]) do
  local entry = told[1]
  local slot = read_slot(redis.call('HGET', STORED, entry))
  local card = read_card(redis.call('HGET', CARDS, entry))
  local is_ours = card and slot and int(slot[3]) == told[2]
  local moves = is_ours and slot[4] > 0
  if not slot or not card then
    answer[i + 1] = 'GONE'
  elseif not is_ours then
    answer[i + 1] = 'LOST'
  else
    local is_current = int(card[1]) == told[8]
    local is_on = card[4] == 1 and card[5] == 0
    answer[i + 1] = is_current and 'CONFIRMED' or is_on and 'STALE' or 'GONE'
    if moves then
      local text = join(told[3], is_current and told[4] or int(now), int(slot[3]), '0', told[5])
      redis.call('HSET', STORED, entry, text)
      look_at(entry, card, read_slot(text))
    end
  end
  note_settled(9, told, ARGV[7], moves, is_ours)
end
give_turns()
return cjson.encode(answer)
