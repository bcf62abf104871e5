-- settle_asked: end holds on requests; each by the fence that took it.
-- Twin: protocol/asked.settle_asked.
-- KEYS 17 awaited, 18 published, 19 progress, 20 history, 21 queued, 22… run of everything awaited
-- ARGV 6 settlements, as for settle_stored, with the request as their tenth word; 7 history limits
-- Answer: {epoch, verdict …}
expect({KEYS[17], KEYS[21]}, {KEYS[18], KEYS[19]})
local answer = {epoch}
for i, told in ipairs(ARGV[6]) do
  local request = told[10]
  local ask = read_ask(redis.call('HGET', ASKS, request))
  local slot = ask and read_slot(redis.call('HGET', ASKED_SLOTS, request))
  local is_ours = slot and int(slot[3]) == told[2]
  local moves = is_ours and slot[4] > 0
  answer[i + 1] = not slot and 'GONE' or not is_ours and 'LOST' or 'CONFIRMED'
  if moves then
    local due = told[3] == '-1' and -1 or math.max(tonumber(told[4]), now)
    redis.call('HSET', ASKED_SLOTS, request,
               join(told[3], int(due), int(slot[3]), '0', told[5]))
    if due < 0 then close(request, ask)
    else redis.call('ZADD', index_of(ask), int(due), request) end
  end
  note_settled(17, told, ARGV[7], moves, is_ours)
end
return cjson.encode(answer)
