-- settle_stored: end holds on stored entries; each by the fence that took it.
-- Twin: protocol/stored.settle_stored.
-- KEYS 9 awaited, 10 published, 11 progress, 12 history, 13 queued, 14… run of
--   everything awaited
-- ARGV 6 settlements, each {entry, fence, slot ms, due ms, "failures|runs|last ms|rule",
--   awaited, told, revision, queued}, as for settle; 7 history limits
-- Answer: {epoch, verdict …}
expect({KEYS[9], KEYS[13]}, {KEYS[10], KEYS[11]})
local answer, names = {epoch}, {}
for i, told in ipairs(ARGV[6]) do names[i] = told[1] end

local slots = redis.call('HMGET', STORED, unpack(names))
local cards = redis.call('HMGET', CARDS, unpack(names))
local records, scores, ended = {}, {}, {}
for i, told in ipairs(ARGV[6]) do
  local entry, slot, card = told[1], read_slot(slots[i]), read_card(cards[i])
  local is_ours = card and slot and int(slot[3]) == told[2]
  -- One that is settled twice in this call has moved already.
  local moves = is_ours and slot[4] > 0 and not ended[entry]
  if not slot or not card then
    answer[i + 1] = 'GONE'
  elseif not is_ours then
    answer[i + 1] = 'LOST'
  else
    local is_current = int(card[1]) == told[8]
    local is_on = card[4] == 1 and card[5] == 0
    answer[i + 1] = is_current and 'CONFIRMED' or is_on and 'STALE' or 'GONE'
    if moves then
      local due = is_current and told[4] or int(now)
      ended[entry] = true
      records[#records + 1] = entry
      records[#records + 1] = join(told[3], due, int(slot[3]), '0', told[5])
      local of = scores[card[6]] or {}
      scores[card[6]] = of
      of[#of + 1] = is_on and tonumber(due) >= 0 and due or '+inf'
      of[#of + 1] = entry
      touched[card[6]] = true
    end
  end
  note_settled(9, told, ARGV[7], moves, is_ours)
end
if #records > 0 then redis.call('HSET', STORED, unpack(records)) end
for name, of in pairs(scores) do index_of_tenant(name, 'ZADD', unpack(of)) end
give_turns()
return cjson.encode(answer)
